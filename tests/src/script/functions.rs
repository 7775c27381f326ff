//! Functions as native code, for scripts: the same whatever the component is.

use aspen_core::function::{CallEnd, CallInput, CallResult, Functions, GuestFault};
use aspen_core::ids::{ComponentHash, Fuel, ProfileId};
use aspen_core::key::{Key, Value};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::WriteOp;
use aspen_core::val::encode_vals;
use aspen_core::view::{HostError, View};
use bytes::Bytes;

/// `append` adds an `x` to key `log`; `note` sets key `ran` to the component that ran; `abort` and `fault`
/// end as they are named. No other function exists.
pub struct ScriptFunctions;

impl Functions for ScriptFunctions {
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, HostError> {
        let nothing = encode_vals(&[]).expect("no values are within the limit");
        let (end, writes) = match input.function {
            "append" => {
                let before = view.get(&key("log"))?.map(|record| record.value);
                let before = before.as_ref().map_or(&b""[..], |value| value.as_bytes());
                (CallEnd::Returned(nothing), vec![set("log", [before, b"x"].concat())])
            }
            "note" => {
                let ran = input.component.to_string().into_bytes();
                (CallEnd::Returned(nothing), vec![set("ran", ran)])
            }
            "abort" => (CallEnd::Aborted(nothing), vec![]),
            "fault" => (CallEnd::Faulted(GuestFault::OutOfFuel), vec![]),
            _ => (CallEnd::Refused(Refusal::FunctionUnknown), vec![]),
        };
        Ok(CallResult { end, fuel: Fuel::new(7), writes, log: vec![] })
    }

    fn runs(&self, profile: ProfileId) -> bool {
        profile == ProfileId::FIRST
    }

    fn prepare(&self, _component: &ComponentHash, _bytes: &Bytes) {}
}

fn key(text: &str) -> Key {
    Key::try_from(text).expect("the key is short")
}

fn set(text: &str, value: Vec<u8>) -> WriteOp {
    WriteOp::set(key(text), Value::new(value).expect("the value is short"))
}
