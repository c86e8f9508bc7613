//! What is said to the server about one type.

use std::{collections::HashMap, time::Instant};

use weft_proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest, Status as Refused};

use super::{
    status::State,
    subscription::{Entry, Subscription},
    wanted::{Asked, Patience, Wanted},
};
use crate::{
    message::{Mode, Request},
    outline::Name,
};

/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// A NACK tells of this many problems and counts the others.
const PROBLEMS_TOLD: usize = 64;

impl Subscription {
    /// The request that brings the server up to date with what is wanted, if it is not.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Request> {
        let wanted = self.wanted.as_ref()?;
        let is_known = match &self.asked {
            Some(asked) => asked.is(wanted),
            None => wanted.is_nothing(),
        };
        if is_known {
            return None;
        }
        if let Some(pending) = &self.pending {
            // Of a stream that is gone: what is held depends on the verdict, and asking tells it.
            let undecided = pending.nonce.is_none();
            // Of this stream: the answer will carry the names. An extra request could only carry
            // the nonce of the response before, and servers ignore those.
            let answer_due = pending.nonce.is_some() && self.mode == Mode::StateOfTheWorld;
            if undecided || answer_due {
                return None;
            }
        }
        let request = match self.mode {
            Mode::StateOfTheWorld => {
                self.note_given_up();
                self.sotw_request(None)
            }
            Mode::Delta => self.delta_change(),
        };
        self.note_asked(now);
        Some(request)
    }

    /// What the server was asked for and is not by the request that follows.
    fn note_given_up(&mut self) {
        let (Some(wanted), Some(asked)) = (&self.wanted, &self.asked) else { return };
        self.unheard.extend(asked.beyond(wanted));
        self.unheard.extend(self.again.iter().map(Name::clone));
    }

    /// Leaves out of the next request what the server may never have heard was given up, and has
    /// not sent since it is wanted again: it is asked for with the request after that.
    fn leave_out_unheard(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        for name in std::mem::take(&mut self.unheard) {
            let lacks = self.entries.get(&name).is_some_and(|entry| !entry.received);
            if lacks && !wanted.is_all() && wanted.contains(&name) {
                self.again.insert(name);
            }
        }
    }

    /// What a stream to another server would begin with. It is told nothing of versions, which
    /// are the words of the server that is left.
    pub(super) fn opening(&self) -> Option<Request> {
        let wanted = self.wanted.as_ref().filter(|wanted| !wanted.is_nothing())?;
        let names = wanted.names().map(|name| name.to_string()).collect();
        let type_url = self.of.type_url().to_owned();
        Some(match self.mode {
            Mode::StateOfTheWorld => Request::Sotw(DiscoveryRequest {
                resource_names: names,
                type_url,
                ..DiscoveryRequest::default()
            }),
            Mode::Delta => Request::Delta(DeltaDiscoveryRequest {
                resource_names_subscribe: names,
                initial_resource_versions: self.held(|_| String::new()),
                type_url,
                ..DeltaDiscoveryRequest::default()
            }),
        })
    }

    fn note_asked(&mut self, now: Instant) {
        let Some(wanted) = &self.wanted else { return };
        if let Wanted::All(Patience::For(patience)) = wanted
            && !self.answered
            && self.asked.is_none()
        {
            self.timers.insert((now + *patience, None));
        }
        for name in wanted.beyond(self.asked.as_ref()) {
            let waits = |entry: &Entry| entry.status.state == State::Requested && !entry.received;
            if self.entries.get(&name).is_some_and(waits)
                && let Patience::For(patience) = wanted.patience(&name)
            {
                self.timers.insert((now + patience, Some(name)));
            }
        }
        let mut asked = Asked::all_of(wanted);
        if let Asked::Names(names) = &mut asked {
            names.retain(|name| !self.again.contains(name));
        }
        self.again.clear();
        self.asked = Some(asked);
    }

    fn sotw_request(&self, problem: Option<String>) -> Request {
        let names = self.wanted.iter().flat_map(Wanted::names);
        let names = names.filter(|name| !self.again.contains(*name));
        Request::Sotw(DiscoveryRequest {
            version_info: self.version.clone(),
            resource_names: names.map(|name| name.to_string()).collect(),
            type_url: self.of.type_url().to_owned(),
            response_nonce: self.nonce.clone(),
            error_detail: problem.map(refused),
            ..DiscoveryRequest::default()
        })
    }

    fn delta_change(&self) -> Request {
        let mut request = DeltaDiscoveryRequest {
            type_url: self.of.type_url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        let Some(wanted) = &self.wanted else { return Request::Delta(request) };
        let text = |names: Vec<Name>| names.iter().map(|name| name.to_string()).collect();
        request.resource_names_subscribe = text(wanted.beyond(self.asked.as_ref()));
        match &self.asked {
            None => {
                request.initial_resource_versions =
                    self.held(|entry| match entry.of_other_server {
                        // A version that no server gives: it sends the resource, or says it is gone.
                        true => String::new(),
                        false => entry.status.version.clone(),
                    });
            }
            Some(asked) => {
                request.resource_names_unsubscribe = text(asked.beyond(wanted));
                match (asked, wanted) {
                    (Asked::All, Wanted::Names(_)) => {
                        request.resource_names_unsubscribe.push("*".to_owned());
                    }
                    (Asked::Names(_), Wanted::All(_)) => {
                        request.resource_names_subscribe.push("*".to_owned());
                    }
                    _ => {}
                }
            }
        }
        Request::Delta(request)
    }

    /// What is held, each with what `version` says of it.
    fn held(&self, version: impl Fn(&Entry) -> String) -> HashMap<String, String> {
        let held = self.entries.iter().filter(|(_, entry)| entry.content.is_some());
        held.map(|(name, entry)| (name.to_string(), version(entry))).collect()
    }

    /// Answers the newest response. In state of the world the answer also tells what is wanted.
    pub(super) fn answer(
        &mut self,
        nonce: String,
        problem: Option<String>,
        now: Instant,
    ) -> Request {
        self.nonce = nonce;
        match self.mode {
            Mode::StateOfTheWorld => {
                self.leave_out_unheard();
                let request = self.sotw_request(problem);
                self.note_asked(now);
                request
            }
            Mode::Delta => Request::Delta(DeltaDiscoveryRequest {
                type_url: self.of.type_url().to_owned(),
                response_nonce: self.nonce.clone(),
                error_detail: problem.map(refused),
                ..DeltaDiscoveryRequest::default()
            }),
        }
    }
}

fn refused(message: String) -> Refused {
    Refused { code: INVALID_ARGUMENT, message, details: Vec::new() }
}

/// What a NACK says.
pub(super) fn problem_text(problems: &[String]) -> String {
    let told = problems.get(..PROBLEMS_TOLD).unwrap_or(problems).join("; ");
    let more = match problems.len().saturating_sub(PROBLEMS_TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("xDS response validation errors: [{told}{more}]")
}
