//! [`evaluate`]: runs a function on a view, without a change of the state.
//!
//! Both `call.rs`, for an entry, and `query.rs` use this code, so a query gives the result that the entry
//! would have. A function that meets a locked key is refused.

use crate::apply::context::Context;
use crate::apply::guard::GuardedView;
use crate::function::{Call, CallInput, CallResult, Functions};
use crate::ids::{ComponentHash, ComponentRef, Revision};
use crate::key::Key;
use crate::refusal::Refusal;
use crate::two_phase::Locks;
use crate::view::{HostError, View};

/// Runs the function and changes nothing. `revision` is the revision of its writes. Returns the
/// component that ran, and the result of the call.
pub(crate) fn evaluate(
    view: &dyn View,
    locks: &Locks,
    functions: &dyn Functions,
    context: &Context,
    revision: Revision,
    call: &Call,
) -> Result<Result<(ComponentHash, CallResult), Refusal>, HostError> {
    let Some(component) = resolve(view, &call.component, &call.key)? else {
        return Ok(Err(Refusal::ComponentUnknown));
    };
    let Context { shard, router, time, seed, caller, profile } = *context;
    let (function, args) = (&*call.function, &call.args);
    let input = CallInput {
        component,
        function,
        args,
        shard,
        router,
        revision,
        time,
        seed,
        caller,
        profile,
    };
    if locks.is_free() {
        return Ok(Ok((component, functions.call(view, &input)?)));
    }
    let view = GuardedView::new(view, locks);
    let called = functions.call(&view, &input)?;
    Ok(match view.met(&called.writes) {
        Some(by) => Err(Refusal::Locked { by }),
        None => Ok((component, called)),
    })
}

/// Returns the component that a call with this key means; `None` if it is not stored.
pub fn resolve(
    view: &dyn View,
    component: &ComponentRef,
    key: &Key,
) -> Result<Option<ComponentHash>, HostError> {
    match component {
        ComponentRef::Name(name) => {
            Ok(view.components().alias(name)?.map(|alias| alias.of(name, key)))
        }
        // One that was removed may still be compiled here, and not elsewhere.
        ComponentRef::Hash(hash) => Ok(view.components().has_component(hash)?.then_some(*hash)),
    }
}
