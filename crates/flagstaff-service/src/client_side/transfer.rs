//! Values for one context by second-generation delivery: a client says by `basis` what it holds.
//!
//! What a context sees hangs on more than items that changed, and what it must not see is not even named. So who
//! holds anything else than what is there now gets everything: that is values alone, and not much. On a stream
//! each change is a transfer of its own. A selector counts for one question: the context, the audience, whether
//! reasons are wanted, and what is known of the context in big segments.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagstaff_eval::DataSet;
use flagstaff_wire::fdv2::{Event, Intent, IntentCode, write_event, write_poll};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::evaluation;
use super::viewer::Viewer;
use crate::SharedServing;
use crate::delivery::behind;
use crate::delivery::poll::{
    WORTH_COMPRESSING, compressed, json, json_compressed, matches, takes_gzip, unchanged,
};
use crate::error::ApiError;
use crate::extract::Asked;
use crate::live_environment::{KnownMembers, Moment, selector};

/// What a client says it holds.
#[derive(Debug, Deserialize)]
pub(super) struct Basis {
    basis: Option<String>,
}

impl Basis {
    pub(super) fn held(self) -> Option<String> {
        self.basis.filter(|basis| !basis.is_empty())
    }
}

/// What a transfer is about.
pub(super) struct Payload {
    id: String,
    moment: Moment,
    selector: String,
}

impl Payload {
    pub(super) fn of(viewer: &Viewer, members: &KnownMembers, moment: Moment) -> Self {
        let id = format!("{}-{}{}", viewer.live.lineage(), viewer.question, members.tag());
        Self { selector: selector(&id, moment), id, moment }
    }

    /// Hands on, in order, the events that bring whoever holds this up to date.
    fn events(
        &self,
        held: Option<&str>,
        viewer: &Viewer,
        data: &DataSet,
        members: &KnownMembers,
        mut write: impl FnMut(Event<'_, RawValue>),
    ) {
        let (code, reason) = match held {
            None => (IntentCode::TransferFull, "payload-missing"),
            Some(held) if held == self.selector => (IntentCode::None, "up-to-date"),
            Some(_) => (IntentCode::TransferFull, "cant-catchup"),
        };
        write(Event::ServerIntent(&[Intent { id: &self.id, target: self.moment.sequence, code, reason }]));
        if matches!(code, IntentCode::None) {
            return;
        }
        let all = viewer.see(data, members);
        for flag in all.flags() {
            let version = self.moment.sequence;
            let object = raw(&all.evaluation(flag, version));
            write(Event::PutValue { key: flag.key(), version, object: &object });
        }
        write(self.transferred());
    }

    /// The end of a transfer.
    fn transferred(&self) -> Event<'_, RawValue> {
        Event::PayloadTransferred { state: &self.selector, version: self.moment.sequence }
    }

    /// As a stream begins, and as it begins again.
    pub(super) fn stream(
        &self,
        held: Option<&str>,
        viewer: &Viewer,
        data: &DataSet,
        members: &KnownMembers,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        self.events(held, viewer, data, members, |event| append(&mut out, &event));
        out
    }

    /// A change: what is to be seen now, and what is not any more. Nothing at all if there is neither.
    pub(super) fn change<'k>(
        &self,
        all: &flagstaff_wire::all_flags::AllFlags<'_>,
        gone: impl IntoIterator<Item = &'k str>,
    ) -> Vec<u8> {
        let (mut out, version) = (Vec::new(), self.moment.sequence);
        for flag in all.flags() {
            let object = raw(&all.evaluation(flag, version));
            append(&mut out, &Event::PutValue { key: flag.key(), version, object: &object });
        }
        for key in gone {
            append(&mut out, &Event::DeleteValue { key, version });
        }
        if !out.is_empty() {
            append(&mut out, &self.transferred());
        }
        out
    }

    fn poll(&self, held: Option<&str>, viewer: &Viewer, data: &DataSet, members: &KnownMembers) -> Vec<u8> {
        // In one piece: a list has commas between its elements.
        let (mut out, mut first) = (b"{\"events\":[".to_vec(), true);
        self.events(held, viewer, data, members, |event| {
            let mut body = Vec::new();
            write_poll(&mut body, [event]).unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(&body[b"{\"events\":[".len()..body.len() - b"]}".len()]);
        });
        out.extend_from_slice(b"]}");
        out
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|error| unreachable!("values are JSON: {error}"))
}

fn append(out: &mut Vec<u8>, event: &Event<'_, RawValue>) {
    write_event(out, event).unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
}

/// `/sdk/poll/eval…`
pub(super) async fn poll(
    State(serving): State<SharedServing>,
    headers: HeaderMap,
    Asked(basis): Asked<Basis>,
    viewer: Viewer,
) -> Result<Response, ApiError> {
    let live = viewer.live.clone();
    let held = basis.held();
    behind::catch_up_with(&serving, &live, behind::of_values(&live, held.as_deref())).await?;
    behind::catch_up_with(&serving, &live, behind::of_poll(&live, &headers)).await?;
    let (moment, data) = live.evaluable()?;
    let members = viewer.members(moment, &data).await;
    let payload = Payload::of(&viewer, &members, moment);
    let tag = format!("{}-{moment}-2", payload.id);
    if matches(&headers, &tag) {
        return Ok(unchanged(&live, &tag));
    }
    serving.metrics.evaluated_for_client();
    let packs = takes_gzip(&headers);
    let work = move || {
        let body = payload.poll(held.as_deref(), &viewer, &data, &members);
        if body.len() < WORTH_COMPRESSING || !packs {
            (body.into(), false)
        } else {
            (compressed(&body), true)
        }
    };
    let (body, is_packed) = evaluation::of_flags(live.flag_count(), work).await?;
    let answer = if is_packed { json_compressed } else { json };
    Ok(answer(&live, &tag, body))
}
