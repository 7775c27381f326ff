//! A typed client of `shop`. Written by `aspen client-gen`: make it again instead of changing it.
//!
//! Made from the uploaded component
//! `sha256:626d0ce33ca550dc06351c3ea7b698be557ff5d35bf25edc44221b561838594c`.

#![allow(dead_code, reason = "a program need not use all of it")]
#![allow(missing_docs, rustdoc::all, reason = "comments are those of the WIT")]
#![allow(clippy::all, reason = "so are names and shapes")]

use aspen_client::typed;

/// The component that this was made from. As a name it means no other one.
pub const COMPONENT: &str =
    "sha256:626d0ce33ca550dc06351c3ea7b698be557ff5d35bf25edc44221b561838594c";

#[derive(Clone)]
pub struct Shop {
    component: typed::Component,
}

impl Shop {
    /// Calls the component that is uploaded as `shop`.
    pub fn new(client: aspen_client::Client) -> Self {
        Self::named(client, "shop")
    }

    /// Calls the one of another name, or of a text like `sha256:9f86d0...`.
    pub fn named(client: aspen_client::Client, name: &str) -> Self {
        let component = typed::Component::new(client, name);
        Self { component }
    }

    /// Asks the cluster whether the component has the functions that this was made for.
    pub async fn check(&self) -> Result<(), typed::CheckError> {
        self.component.check(SIGNATURES).await
    }

    pub fn place_order(
        &self,
        items: Vec<PlaceOrderItems>,
        payment: PlaceOrderPayment,
        flags: PlaceOrderFlags,
    ) -> typed::Call<u64, PlaceOrderErr> {
        let mut call = self.component.call("place-order");
        call.arg(items);
        call.arg(payment);
        call.arg(flags);
        call
    }

    pub fn first(&self) -> typed::Call<Option<(PlaceOrderItems, PlaceOrderPayment)>> {
        self.component.call("first")
    }

    pub fn result(&self) -> typed::Call<Result_> {
        self.component.call("result")
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlaceOrderItems {
    pub name: String,
    pub weight: f32,
}

aspen_client::wit! {
    record PlaceOrderItems = "place-order-items" {
        name = "name",
        weight = "weight",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceOrderPaymentCard {
    pub number: String,
}

aspen_client::wit! {
    record PlaceOrderPaymentCard = "place-order-payment-card" {
        number = "number",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceOrderPayment {
    Cash,
    Card(PlaceOrderPaymentCard),
}

aspen_client::wit! {
    variant PlaceOrderPayment = "place-order-payment" {
        Cash = "cash",
        Card(payload) = "card",
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceOrderFlags {
    pub express: bool,
    pub gift: bool,
}

aspen_client::wit! {
    flags PlaceOrderFlags = "place-order-flags" {
        express = "express",
        gift = "gift",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceOrderErr {
    SoldOut,
    Closed,
}

aspen_client::wit! {
    enum PlaceOrderErr = "place-order-err" {
        SoldOut = "sold-out",
        Closed = "closed",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Result_ {
    Self_,
    String_(String),
}

aspen_client::wit! {
    variant Result_ = "result" {
        Self_ = "self",
        String_(payload) = "string",
    }
}

aspen_client::wit! {
    functions SIGNATURES {
        "place-order: func(items: list<record { name: string, weight: f32 }>, payment: variant { cash, card(record { number: string }) }, flags: flags { express, gift }) -> result<u64, enum { sold-out, closed }>",
        "first: func() -> option<tuple<record { name: string, weight: f32 }, variant { cash, card(record { number: string }) }>>",
        "result: func() -> variant { self, string(string) }",
    }
}
