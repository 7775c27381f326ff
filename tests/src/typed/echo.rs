//! A typed client of `echo`. Written by `aspen client-gen`: make it again instead of changing it.
//!
//! Made from the WIT world `example:echo/echo`.

#![allow(dead_code, reason = "a program need not use all of it")]
#![allow(missing_docs, rustdoc::all, reason = "comments are those of the WIT")]
#![allow(clippy::all, reason = "so are names and shapes")]

use aspen_client::typed;

/// Gives back what it gets: a function for each kind of type that Aspen has values for.
#[derive(Clone)]
pub struct Echo {
    component: typed::Component,
}

impl Echo {
    /// Calls the component that is uploaded as `echo`.
    pub fn new(client: aspen_client::Client) -> Self {
        Self::named(client, "echo")
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

    pub fn numbers(&self, numbers: Numbers) -> typed::Call<Numbers> {
        let mut call = self.component.call("numbers");
        call.arg(numbers);
        call
    }

    pub fn others(&self, others: Others) -> typed::Call<Others> {
        let mut call = self.component.call("others");
        call.arg(others);
        call
    }

    pub fn colors(&self, color: Color, others: Vec<Color>) -> typed::Call<Vec<Color>> {
        let mut call = self.component.call("colors");
        call.arg(color);
        call.arg(others);
        call
    }

    pub fn rights(&self, rights: Rights) -> typed::Call<Rights> {
        let mut call = self.component.call("rights");
        call.arg(rights);
        call
    }

    pub fn figure(&self, figure: Figure) -> typed::Call<Figure> {
        let mut call = self.component.call("figure");
        call.arg(figure);
        call
    }

    pub fn points(&self, points: Vec<Point>) -> typed::Call<Vec<Point>> {
        let mut call = self.component.call("points");
        call.arg(points);
        call
    }

    pub fn keywords(&self, type_: Keywords, self_: Choice) -> typed::Call<(Keywords, Choice)> {
        let mut call = self.component.call("keywords");
        call.arg(type_);
        call.arg(self_);
        call
    }

    pub fn nested(
        &self,
        deep: Option<Option<Vec<Option<String>>>>,
    ) -> typed::Call<Option<Option<Vec<Option<String>>>>> {
        let mut call = self.component.call("nested");
        call.arg(deep);
        call
    }

    pub fn tuples(
        &self,
        one: (u8,),
        two: (i8, (String, bool)),
    ) -> typed::Call<((u8,), (i8, (String, bool)))> {
        let mut call = self.component.call("tuples");
        call.arg(one);
        call.arg(two);
        call
    }

    pub fn results(
        &self,
        items: Vec<Result<Cents, Result<(), ()>>>,
        bare: Result<(), String>,
        ok: Result<u8, ()>,
    ) -> typed::Call<(Vec<Result<Cents, Result<(), ()>>>, Result<(), String>, Result<u8, ()>)> {
        let mut call = self.component.call("results");
        call.arg(items);
        call.arg(bare);
        call.arg(ok);
        call
    }

    pub fn optional(
        &self,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        call_: Vec<String>,
    ) -> typed::Call<(Option<String>, Option<Vec<u8>>, Vec<String>)> {
        let mut call = self.component.call("optional");
        call.arg(text);
        call.arg(bytes);
        call.arg(call_);
        call
    }

    /// Bytes alone take a way of their own.
    pub fn raw(&self, bytes: &[u8]) -> typed::Call<Vec<u8>> {
        let mut call = self.component.call("raw");
        call.arg(bytes);
        call
    }

    /// Gives the cents back unless there is a problem.
    pub fn check_(&self, cents: Cents, problem: Option<Problem>) -> typed::Call<Cents, Problem> {
        let mut call = self.component.call("check");
        call.arg(cents);
        call.arg(problem);
        call
    }

    /// An error without a payload.
    pub fn bare(&self, good: bool) -> typed::Call<(), ()> {
        let mut call = self.component.call("bare");
        call.arg(good);
        call
    }

    /// Ends in a fault.
    pub fn panic(&self) -> typed::Call<()> {
        self.component.call("panic")
    }
}

/// The integers, with their smallest and largest values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numbers {
    pub a: i8,
    pub b: u8,
    pub c: i16,
    pub d: u16,
    pub e: i32,
    pub f: u32,
    pub g: i64,
    pub h: u64,
}

aspen_client::wit! {
    record Numbers = "numbers" {
        a = "a",
        b = "b",
        c = "c",
        d = "d",
        e = "e",
        f = "f",
        g = "g",
        h = "h",
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Others {
    pub truth: bool,
    pub letter: char,
    pub text: String,
    pub single: f32,
    pub double: f64,
    pub bytes: Vec<u8>,
}

aspen_client::wit! {
    record Others = "others" {
        truth = "truth",
        letter = "letter",
        text = "text",
        single = "single",
        double = "double",
        bytes = "bytes",
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Color {
    Red,
    Green,
    Blue,
}

aspen_client::wit! {
    enum Color = "color" {
        Red = "red",
        Green = "green",
        Blue = "blue",
    }
}

/// The rights of somebody. Written as
///
/// ```text
/// // a code block: to rustdoc it is Rust
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights {
    /// Look.
    pub read: bool,
    pub write: bool,
    pub grant_all: bool,
}

aspen_client::wit! {
    flags Rights = "rights" {
        read = "read",
        write = "write",
        grant_all = "grant-all",
    }
}

/// A point of a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

aspen_client::wit! {
    record Point = "point" {
        x = "x",
        y = "y",
    }
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Just a point.
    Dot(Point),
    Polygon(Vec<Point>),
    Painted((Color, Vec<Point>)),
    Nothing,
}

aspen_client::wit! {
    variant Figure = "figure" {
        Dot(payload) = "dot",
        Polygon(payload) = "polygon",
        Painted(payload) = "painted",
        Nothing = "nothing",
    }
}

/// Names that Rust keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keywords {
    pub type_: String,
    pub self_: bool,
    pub async_: Option<Color>,
}

aspen_client::wit! {
    record Keywords = "keywords" {
        type_ = "type",
        self_ = "self",
        async_ = "async",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    Some(Color),
    None,
}

aspen_client::wit! {
    variant Choice = "choice" {
        Some(payload) = "some",
        None = "none",
    }
}

/// Cents.
pub type Cents = u64;

/// Why it does not give back what it got.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// It had to say no.
    Refused,
    TooMuch(Cents),
    Because(Others),
}

aspen_client::wit! {
    variant Problem = "problem" {
        Refused = "refused",
        TooMuch(payload) = "too-much",
        Because(payload) = "because",
    }
}

aspen_client::wit! {
    functions SIGNATURES {
        "numbers: func(numbers: record { a: s8, b: u8, c: s16, d: u16, e: s32, f: u32, g: s64, h: u64 }) -> record { a: s8, b: u8, c: s16, d: u16, e: s32, f: u32, g: s64, h: u64 }",
        "others: func(others: record { truth: bool, letter: char, text: string, single: f32, double: f64, bytes: list<u8> }) -> record { truth: bool, letter: char, text: string, single: f32, double: f64, bytes: list<u8> }",
        "colors: func(color: enum { red, green, blue }, others: list<enum { red, green, blue }>) -> list<enum { red, green, blue }>",
        "rights: func(rights: flags { read, write, grant-all }) -> flags { read, write, grant-all }",
        "figure: func(figure: variant { dot(record { x: f64, y: f64 }), polygon(list<record { x: f64, y: f64 }>), painted(tuple<enum { red, green, blue }, list<record { x: f64, y: f64 }>>), nothing }) -> variant { dot(record { x: f64, y: f64 }), polygon(list<record { x: f64, y: f64 }>), painted(tuple<enum { red, green, blue }, list<record { x: f64, y: f64 }>>), nothing }",
        "points: func(points: list<record { x: f64, y: f64 }>) -> list<record { x: f64, y: f64 }>",
        "keywords: func(type: record { type: string, self: bool, async: option<enum { red, green, blue }> }, self: variant { some(enum { red, green, blue }), none }) -> tuple<record { type: string, self: bool, async: option<enum { red, green, blue }> }, variant { some(enum { red, green, blue }), none }>",
        "nested: func(deep: option<option<list<option<string>>>>) -> option<option<list<option<string>>>>",
        "tuples: func(one: tuple<u8>, two: tuple<s8, tuple<string, bool>>) -> tuple<tuple<u8>, tuple<s8, tuple<string, bool>>>",
        "results: func(items: list<result<u64, result>>, bare: result<_, string>, ok: result<u8>) -> tuple<list<result<u64, result>>, result<_, string>, result<u8>>",
        "optional: func(text: option<string>, bytes: option<list<u8>>, call: list<string>) -> tuple<option<string>, option<list<u8>>, list<string>>",
        "raw: func(bytes: list<u8>) -> list<u8>",
        "check: func(cents: u64, problem: option<variant { refused, too-much(u64), because(record { truth: bool, letter: char, text: string, single: f32, double: f64, bytes: list<u8> }) }>) -> result<u64, variant { refused, too-much(u64), because(record { truth: bool, letter: char, text: string, single: f32, double: f64, bytes: list<u8> }) }>",
        "bare: func(good: bool) -> result",
        "panic: func()",
    }
}
