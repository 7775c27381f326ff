//! Applying uploads in parts: one part, the end of an upload, and the end of idle uploads.
//!
//! Promises that the bytes stored under a hash have that hash, and that the parts of an upload are gone when
//! it ends, with a component or without. Leaves out the check that the component can run: the leader makes
//! it before it proposes the end.

use crate::apply::components;
use crate::apply::context::Context;
use crate::function::Functions;
use crate::ids::{ComponentHash, Name, Timestamp};
use crate::limits::{LARGE_COMPONENT_BYTES_MAX, LARGE_COMPONENTS_MAX, UPLOAD_PART_BYTES_MAX};
use crate::protocol::{Outcome, UploadPart};
use crate::refusal::Refusal;
use crate::state::{State, UploadId, upload_row};
use crate::view::HostError;

/// Stores a part if it is the next one. The outcome has the number of bytes stored so far.
pub fn part<S: State>(
    state: &mut S,
    context: &Context,
    part: &UploadPart,
) -> Result<Outcome, HostError> {
    let UploadPart { component, total, offset, bytes } = part;
    if *total > LARGE_COMPONENT_BYTES_MAX as u64 {
        return Ok(Outcome::Refused(Refusal::ComponentTooLarge { bytes: *total }));
    }
    let upload = (context.caller, *component);
    let uploads = &state.resident().uploads;
    let staged = uploads.get(&upload);
    let (there, total) = staged.map_or((0, *total), |staged| (staged.bytes, staged.total));
    let is_next = *offset == there && !bytes.is_empty();
    if staged.is_none() && !uploads.has_room() {
        return Ok(Outcome::Refused(Refusal::TooManyUploads));
    }
    let after = there + bytes.len() as u64;
    if !is_next || after > total || bytes.len() > UPLOAD_PART_BYTES_MAX {
        state.resident_mut().uploads.touch(&upload, context.time);
        return Ok(Outcome::PartStored { bytes: there });
    }
    let row = upload_row(&upload, *offset, bytes);
    let hash = ComponentHash::of(&row);
    state.set_component(&hash, &row)?;
    let uploads = &mut state.resident_mut().uploads;
    let there = uploads.add(upload, total, hash, bytes.len() as u64);
    uploads.touch(&upload, context.time);
    Ok(Outcome::PartStored { bytes: there })
}

/// Joins the parts and points an alias to the component. A component that is stored already needs
/// no parts.
pub fn finish<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    name: &Name,
    component: ComponentHash,
) -> Result<Outcome, HostError> {
    let upload = (context.caller, component);
    let incomplete = Ok(Outcome::Refused(Refusal::UploadIncomplete));
    if components::exists(state, &component)? {
        remove(state, &upload)?;
        return components::point(state, context, name, component);
    }
    let staged = state.resident().uploads.get(&upload);
    let Some(staged) = staged.filter(|staged| staged.is_whole()).cloned() else {
        return incomplete;
    };
    let whole = staged.assemble(state.view())?;
    remove(state, &upload)?;
    let whole =
        whole.ok_or_else(|| HostError::new("putting an upload together", "a part is gone"))?;
    if ComponentHash::of(&whole) != component {
        return incomplete;
    }
    if state.header().large_components as usize >= LARGE_COMPONENTS_MAX {
        return Ok(Outcome::Refused(Refusal::TooManyComponents));
    }
    components::store(state, functions, context, name, &whole)
}

/// Ends the uploads that have had no part for too long.
pub fn expire<S: State>(state: &mut S, now: Timestamp) -> Result<(), HostError> {
    while let Some(upload) = state.resident().uploads.first_due(now) {
        remove(state, &upload)?;
    }
    Ok(())
}

/// Forgets an upload and removes its parts.
fn remove<S: State>(state: &mut S, upload: &UploadId) -> Result<(), HostError> {
    for part in state.resident_mut().uploads.remove(upload) {
        state.remove_component(&part)?;
    }
    Ok(())
}
