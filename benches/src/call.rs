//! The cost of one function call in apply, above the cost of its reads and writes.

use std::time::{Duration, Instant};

use aspen_core::function::{CallInput, Functions};
use aspen_core::ids::{Caller, ComponentHash, LeaseId, Revision, ShardId, Timestamp, Version};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::state::{Model, State};
use aspen_core::val::{Val, encode_vals};
use aspen_core::view::{Record, View};
use aspen_functions::{STACK_BYTES, WasmFunctions};
use bytes::Bytes;

use crate::failure::Failure;

const ACCOUNTS: u64 = 10_000;
const CALLS: u64 = 20_000;
const ROUNDS: usize = 9;

/// Measures calls of `bank` over the state in memory, on one thread, as apply makes them.
pub fn measure(bank: &[u8], echo: &[u8]) -> Result<(), Failure> {
    println!("\none call in apply (state in memory, one thread, a fresh instance each)");
    let [bank, echo] = [bank, echo].map(Bytes::copy_from_slice);
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let measured = thread.spawn(move || run(&bank, &echo).map_err(|error| error.to_string()))?;
    Ok(measured.join().map_err(|_| "the measuring thread failed")??)
}

/// The median times of a call that does nothing and of a transfer, and the fuel of both.
pub type Cost = ([Duration; 2], [u64; 2]);

/// Measures calls of a bank, in whatever language, after one call that compiles it.
pub fn cost(bank: Vec<u8>, calls: u64) -> Result<Cost, Failure> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let measure = move || {
        let (functions, model, component) = shard(&bank.into())?;
        cost_of(&functions, &model, component, calls)
    };
    let measured = thread.spawn(move || measure().map_err(|error: Failure| error.to_string()))?;
    Ok(measured.join().map_err(|_| "the measuring thread failed")??)
}

/// A shard with accounts and the component.
fn shard(bank: &Bytes) -> Result<(WasmFunctions, Model, ComponentHash), Failure> {
    let functions = WasmFunctions::new(Default::default())?;
    let mut model = Model::new();
    let component = ComponentHash::of(bank);
    model.set_component(&component, bank)?;
    let one = Revision::new(1);
    for n in 0..ACCOUNTS {
        let value = Value::new((1u64 << 40).to_le_bytes().to_vec())?;
        let version = Version::new(1);
        let lease = LeaseId::NONE;
        let record = Record { value, version, create_revision: one, mod_revision: one, lease };
        model.set(&account(n)?, record)?;
    }
    Ok((functions, model, component))
}

fn cost_of(
    functions: &WasmFunctions,
    model: &Model,
    component: ComponentHash,
    calls: u64,
) -> Result<Cost, Failure> {
    let touch = encode_vals(&[])?;
    let mut fuel = [0; 2];
    let empty = median(calls, |_| {
        fuel[0] = call(functions, model, component, "touch", &touch)?;
        Ok(())
    })?;
    let name = |n: u64| format!("{:08}", n % ACCOUNTS);
    let transfer = median(calls, |n| {
        let args: [Val; 3] = [name(n).into(), name(n * 7 + 1).into(), 1u64.into()];
        fuel[1] = call(functions, model, component, "transfer", &encode_vals(&args)?)?;
        Ok(())
    })?;
    Ok(([empty, transfer], fuel))
}

/// Measures typed arguments and results: one `bool`, a small record, and one with a text of a KiB.
fn typed(echo: &Bytes) -> Result<[Duration; 3], Failure> {
    let (functions, model, component) = shard(echo)?;
    let field = |name: &str, val| (name.to_string(), val);
    let record = |text_bytes| {
        encode_vals(&[Val::Record(vec![
            field("truth", true.into()),
            field("letter", Val::Char('a')),
            field("text", "t".repeat(text_bytes).into()),
            field("single", Val::F32(0)),
            field("double", Val::F64(0)),
            field("bytes", Val::Bytes(Bytes::new())),
        ])])
    };
    let time = |function: &str, args: Bytes| {
        median(CALLS, |_| call(&functions, &model, component, function, &args).map(drop))
    };
    let bare = time("bare", encode_vals(&[true.into()])?)?;
    Ok([bare, time("others", record(8)?)?, time("others", record(1_000)?)?])
}

fn run(bank: &Bytes, echo: &Bytes) -> Result<(), Failure> {
    let (functions, model, component) = shard(bank)?;
    let ([empty, transfer], [_, fuel]) = cost_of(&functions, &model, component, CALLS)?;
    let native = median(CALLS, |n| {
        for key in [account(n % ACCOUNTS)?, account((n * 7 + 1) % ACCOUNTS)?] {
            let record = model.get(&key)?.ok_or("the account is there")?;
            std::hint::black_box(Value::new(record.value.as_bytes().to_vec())?);
        }
        Ok(())
    })?;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("  function that does nothing       {:>6.1} us", us(empty));
    println!("  two-key transfer                 {:>6.1} us, {fuel} fuel", us(transfer));
    println!("  its reads and writes natively    {:>6.1} us", us(native));
    println!("  overhead of the call             {:>6.1} us", us(transfer) - us(native));
    let [bare, small, large] = typed(echo)?;
    println!("  gets and gives back a bool       {:>6.1} us", us(bare));
    println!("  a record of 6 fields, 30 bytes   {:>6.1} us", us(small));
    let more = us(large) / us(small);
    println!("  the same with a text of 1 KiB    {:>6.1} us, {more:.2}x", us(large));
    Ok(())
}

fn account(n: u64) -> Result<Key, Failure> {
    Ok(Key::try_from(format!("account/{n:08}").as_str())?)
}

fn call(
    functions: &WasmFunctions,
    view: &Model,
    component: ComponentHash,
    function: &str,
    args: &Bytes,
) -> Result<u64, Failure> {
    let input = CallInput {
        component,
        function,
        args,
        shard: ShardId::new(0),
        router: ShardRouter::new(1)?,
        revision: Revision::new(2),
        time: Timestamp::new(0),
        seed: 0,
        caller: Caller::LOCAL,
        profile: aspen_core::ids::ProfileId::FIRST,
    };
    let result = functions.call(view, &input)?;
    match result.end {
        aspen_core::function::CallEnd::Returned(_) => Ok(result.fuel.get()),
        end => Err(format!("{function} ended with {end:?}").into()),
    }
}

/// The median over rounds of the mean time of one call.
fn median(
    calls: u64,
    mut work: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..calls {
            work(n)?;
        }
        rounds.push(start.elapsed() / calls as u32);
    }
    rounds.sort();
    Ok(rounds[ROUNDS / 2])
}
