//! A request through the filters of its chain, and on to where its route leads.

use std::rc::Rc;

use http::request::Parts;
use weft_compile::Action;

use super::{
    Decision, Head, Memory,
    asking::{Asking, Found},
};
use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    fault::Fault,
    filters::{Coming, Held, Passage, Place, Verdict},
    forward::{Choice, Journey},
    head_rules::Origin,
    local_reply::Answer,
    record::Record,
    tunnel::Wanted,
};

impl Coming {
    pub(super) fn new(
        (parts, body, caller, record): (Parts, RequestBody, Caller, Record),
        (wanted, origin, random): (Wanted, Origin, u64),
        is_grpc: bool,
        place: Place,
    ) -> Self {
        Self {
            parts,
            body,
            caller,
            record,
            wanted,
            origin,
            random,
            number: random,
            wish: None,
            trail: None,
            told: None,
            is_grpc,
            place,
        }
    }

    fn asking<'c>(&self, connection: &'c Connection) -> Asking<'c, '_> {
        Asking {
            connection,
            parts: &self.parts,
            origin: self.origin,
            random: self.random,
            began: self.record.began(),
            number: Some(self.number),
            // Not by what it is now: a filter may have made gRPC of what is none.
            is_grpc: self.is_grpc,
        }
    }
}

/// Lets a request pass the filters of its chain.
pub(super) fn pass(
    connection: &Rc<Connection>,
    mut coming: Coming,
    passage: &mut Memory,
) -> Decision {
    let tables = connection.worker.tables();
    coming.number = coming.asking(connection).number(&coming.place);
    let asking = coming.asking(connection);
    let said = asking.said_to_filters(&tables, &coming.place);
    *passage = Some(Passage::new(&connection.chain, said));
    go_through(connection, coming, passage)
}

/// Goes on where a filter has held a request.
pub(super) fn go_on(
    connection: &Rc<Connection>,
    decided: Decision,
    released: Result<(), Fault>,
    passage: &mut Memory,
) -> Decision {
    let Decision::Hold(held) = decided else { return decided };
    match released {
        Ok(()) => go_through(connection, held.passes(), passage),
        Err(fault) => {
            match fault {
                Fault::RequestIdle => held.coming.record.stream_idle(),
                Fault::RequestNotWhole => held.coming.record.not_whole(),
                _ => {}
            }
            turn_back(connection, &held.coming, Answer::fault(fault), passage)
        }
    }
}

fn go_through(connection: &Rc<Connection>, mut coming: Coming, passage: &mut Memory) -> Decision {
    let verdict = match passage {
        Some(passage) => passage.onward(connection, &mut coming),
        None => Verdict::Passed,
    };
    match verdict {
        Verdict::Passed => {}
        Verdict::Waits(until) => return Decision::Hold(Held::new(coming, until)),
        Verdict::Failed(fault) => {
            return turn_back(connection, &coming, Answer::fault(fault), passage);
        }
        Verdict::Refused(answer) => return turn_back(connection, &coming, *answer, passage),
        Verdict::Answered(head) => {
            let mut response = head.map(|()| Body::empty());
            coming.record.responded(response.status());
            coming.asking(connection).pass_back(&mut response, ("cors_response", ""), passage);
            return Decision::Answer(response);
        }
    }
    let tables = connection.worker.tables();
    let wanted = std::mem::replace(&mut coming.wanted, Wanted::Answer);
    let asking = coming.asking(connection);
    let found = coming.place.found();
    let keeps_facts =
        passage.as_ref().is_some_and(|passage| passage.asks_for_facts(&connection.chain));
    match asking.plan(&tables, found, wanted) {
        Ok(plan) => {
            let Coming { parts, body, caller, record, trail, wish, .. } = coming;
            let plan = Choice { trail, keeps_facts, wish, ..plan };
            Decision::Forward(Journey::begin(connection, plan, parts, (body, caller), record))
        }
        Err(answer) => asking.answer(*answer, &coming.record, passage),
    }
}

/// Answers a request that a filter does not let pass.
fn turn_back(
    connection: &Rc<Connection>,
    coming: &Coming,
    answer: Answer,
    passage: &mut Memory,
) -> Decision {
    let asking = coming.asking(connection);
    let answer = match (coming.place.found(), Head::read(&coming.parts)) {
        (Found::Route(entry), Ok(head)) if matches!(entry.action, Action::Forward(_)) => {
            *asking.of_route(entry, &head, answer)
        }
        _ => answer,
    };
    asking.answer(answer, &coming.record, passage)
}
