//! The functions of `aspen:function`, as the guest calls them.
//!
//! Promises that fuel is charged before work is done: a base for the call, then every byte that
//! comes in or goes out. Must stay in step with `wit/aspen.wit`, which defines each function.

use aspen_core::function::GuestFault;
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::limits::SCAN_ENTRIES_MAX;
use aspen_core::view::Record;
use bytes::Bytes;
use wasmtime::component::{ComponentType, Linker, Lower, WasmList, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use super::call_data::CallData;
use super::call_stop::CallStop;
use super::scan;
use crate::interface::{CONTEXT, STORE, TYPES};
use crate::profile::limits::KEYS_ASKED_MAX;
use crate::profile::prices::{BYTE_FUEL, HOST_CALL_FUEL, SCAN_ENTRY_FUEL, SCAN_FUEL};

/// Returns a linker with all of these functions.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallData>> {
    let mut linker = Linker::new(engine);
    let mut store = linker.instance(STORE)?;
    store.func_wrap("get", get)?;
    store.func_wrap("get-many", get_many)?;
    store.func_wrap("exists", exists)?;
    store.func_wrap("scan", scan)?;
    store.func_wrap("put", put)?;
    store.func_wrap("delete", delete)?;
    let mut context = linker.instance(CONTEXT)?;
    context.func_wrap("revision", |mut ctx: Ctx<'_>, (): ()| {
        charge(&mut ctx, HOST_CALL_FUEL, 8)?;
        Ok((ctx.data().revision.get(),))
    })?;
    context.func_wrap("time-ms", |mut ctx: Ctx<'_>, (): ()| {
        charge(&mut ctx, HOST_CALL_FUEL, 8)?;
        Ok((ctx.data().time_ms,))
    })?;
    context.func_wrap("seed", |mut ctx: Ctx<'_>, (): ()| {
        charge(&mut ctx, HOST_CALL_FUEL, 8)?;
        Ok((ctx.data().seed,))
    })?;
    context.func_wrap("caller", |mut ctx: Ctx<'_>, (): ()| {
        charge(&mut ctx, HOST_CALL_FUEL, 32)?;
        Ok((ctx.data().caller.as_bytes().to_vec(),))
    })?;
    context.func_wrap("log", log)?;
    linker.instance(TYPES)?;
    Ok(linker)
}

type Ctx<'a> = StoreContextMut<'a, CallData>;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Versioned {
    value: Vec<u8>,
    version: u64,
    #[component(name = "create-revision")]
    create_revision: u64,
    #[component(name = "mod-revision")]
    mod_revision: u64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Item {
    key: Vec<u8>,
    item: Versioned,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Page {
    entries: Vec<Item>,
    more: bool,
}

impl From<Record> for Versioned {
    fn from(record: Record) -> Versioned {
        Versioned {
            value: record.value.as_bytes().to_vec(),
            version: record.version.get(),
            create_revision: record.create_revision.get(),
            mod_revision: record.mod_revision.get(),
        }
    }
}

/// Takes `fuel`, and the price of `bytes`, from the fuel of the call.
fn charge(ctx: &mut Ctx<'_>, fuel: u64, bytes: usize) -> wasmtime::Result<()> {
    let price = fuel + BYTE_FUEL * bytes as u64;
    match ctx.get_fuel()?.checked_sub(price) {
        Some(left) => ctx.set_fuel(left),
        None => Err(CallStop::from(GuestFault::OutOfFuel).into()),
    }
}

/// Charges for a call with this key, and returns the key if the call may use it.
fn key(ctx: &mut Ctx<'_>, key: &WasmList<u8>) -> wasmtime::Result<Key> {
    charge(ctx, HOST_CALL_FUEL, key.len())?;
    Ok(ctx.data().key(key.as_le_slice(&*ctx))?)
}

fn read(ctx: &mut Ctx<'_>, key: &Key) -> wasmtime::Result<Option<Versioned>> {
    let host = ctx.data();
    let found = host.overlay.get(host.view(), key).map_err(CallStop::from)?;
    charge(ctx, 0, found.as_ref().map_or(0, |record| record.value.as_bytes().len()))?;
    Ok(found.map(Versioned::from))
}

fn get(mut ctx: Ctx<'_>, (name,): (WasmList<u8>,)) -> wasmtime::Result<(Option<Versioned>,)> {
    let key = key(&mut ctx, &name)?;
    Ok((read(&mut ctx, &key)?,))
}

fn get_many(
    mut ctx: Ctx<'_>,
    (names,): (WasmList<WasmList<u8>>,),
) -> wasmtime::Result<(Vec<Option<Versioned>>,)> {
    // This is the price of the call itself. Each key then costs as much as a `get` of it.
    charge(&mut ctx, HOST_CALL_FUEL, 0)?;
    if names.len() > KEYS_ASKED_MAX {
        return Err(CallStop::from(GuestFault::KeyOrValueLength).into());
    }
    let mut found = Vec::with_capacity(names.len());
    for at in 0..names.len() {
        let Some(name) = names.get(&mut ctx, at) else { break };
        let key = key(&mut ctx, &name?)?;
        found.push(read(&mut ctx, &key)?);
    }
    Ok((found,))
}

fn exists(mut ctx: Ctx<'_>, (name,): (WasmList<u8>,)) -> wasmtime::Result<(bool,)> {
    let key = key(&mut ctx, &name)?;
    let host = ctx.data();
    let found = host.overlay.get(host.view(), &key).map_err(CallStop::from)?;
    Ok((found.is_some(),))
}

type ScanArgs = (WasmList<u8>, Option<WasmList<u8>>, bool, u32);

fn scan(mut ctx: Ctx<'_>, args: ScanArgs) -> wasmtime::Result<(Page,)> {
    let (start, end, reverse, limit) = args;
    let bytes = start.len() + end.as_ref().map_or(0, WasmList::len);
    charge(&mut ctx, SCAN_FUEL, bytes)?;
    let copy = |list: &WasmList<u8>| Bytes::copy_from_slice(list.as_le_slice(&ctx));
    let range = KeyRange { start: copy(&start), end: end.as_ref().map(copy) };
    let limit = SCAN_ENTRIES_MAX.min(limit as usize);
    let mut left = ctx.get_fuel()?;
    let mut pay = |bytes: usize| {
        let price = SCAN_ENTRY_FUEL + BYTE_FUEL * bytes as u64;
        left = left.checked_sub(price).ok_or(GuestFault::OutOfFuel)?;
        Ok(())
    };
    let host = ctx.data();
    let page = scan::scan(&host.overlay, host.view(), &range, reverse, limit, &mut pay)?;
    ctx.set_fuel(left)?;
    let item = |(key, record): (Vec<u8>, Record)| Item { key, item: record.into() };
    Ok((Page { entries: page.items.into_iter().map(item).collect(), more: page.more },))
}

fn put(mut ctx: Ctx<'_>, (name, value): (WasmList<u8>, WasmList<u8>)) -> wasmtime::Result<()> {
    charge(&mut ctx, 0, value.len())?;
    let key = key(&mut ctx, &name)?;
    let value = Value::new(value.as_le_slice(&ctx).to_vec());
    let value = value.map_err(|_| CallStop::from(GuestFault::KeyOrValueLength))?;
    Ok(ctx.data_mut().overlay.put(key, value)?)
}

fn delete(mut ctx: Ctx<'_>, (name,): (WasmList<u8>,)) -> wasmtime::Result<(bool,)> {
    let key = key(&mut ctx, &name)?;
    let (view, overlay) = ctx.data_mut().parts();
    Ok((overlay.delete(view, key)?,))
}

fn log(mut ctx: Ctx<'_>, (line,): (WasmStr,)) -> wasmtime::Result<()> {
    charge(&mut ctx, HOST_CALL_FUEL, 0)?;
    // The length is known only with the text: this one price is charged after its work.
    let line = line.to_str(&ctx)?.into_owned();
    charge(&mut ctx, 0, line.len())?;
    ctx.data_mut().log(&line);
    Ok(())
}
