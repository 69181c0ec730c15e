//! Facts of users and grants of accounts: recorded once each, however often and from wherever they are carried.

use aggregates::account::{Account, AccountCommand, AccountError, AccountEvent};
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::Command;
use aggregates::user::{
    By, Denial, Door, FACTS_REMEMBERED, GrantRole, LogInRefusal, OfferEnd, Scope, User,
    UserCommand, UserError, UserEvent, UserState,
};

use crate::book::*;
use crate::given::when;
use crate::samples;

fn record(given: &[UserEvent], fact: UserEvent) -> Result<Vec<UserEvent>, UserError> {
    when::<User>(given, UserCommand::Record(fact))
}

#[test]
fn every_fact_is_recorded_as_it_is_and_no_fact_twice() {
    let facts = samples::user();
    for (n, fact) in facts.iter().enumerate() {
        assert_eq!(record(&facts[..n], fact.clone()).unwrap(), facts[n..=n]);
        assert_eq!(record(&facts, fact.clone()).unwrap(), [], "{fact:?} is carried again");
    }
}

#[test]
fn a_fact_of_nobody_is_refused() {
    let facts = samples::user();
    assert_eq!(record(&[], facts[2].clone()), Err(UserError::NotRegistered));
    assert_eq!(record(&facts[..1], facts[2].clone()), Err(UserError::NotRegistered), "invited");
    let mut book = Book::default();
    for n in [1, 2] {
        book.load(StreamId::User(user_id(n)));
    }
    let of = |n, fact: &UserEvent| Command::User {
        user_id: user_id(n),
        command: UserCommand::Record(fact.clone()),
    };
    assert_eq!(book.refused(&of(1, &facts[2])), RefusalCode::UserNotFound);
    for another in &facts[..2] {
        assert_eq!(book.refused(&of(2, another)), RefusalCode::UserNotFound, "{another:?}");
    }
    let decision = book.submit(&of(1, &facts[0])).unwrap();
    assert_eq!(decision.events, [(StreamId::User(user_id(1)), Event::User(facts[0].clone()))]);
}

#[test]
fn a_user_is_invited_once_and_only_before_registering() {
    let facts = samples::user();
    let invited = |n| UserEvent::UserInvited {
        fact_id: fact_id(n),
        at: at(1),
        user_id: user_id(1),
        expires_at: at(2),
    };
    for known in 1..=2 {
        assert_eq!(record(&facts[..known], invited(90)).unwrap(), [], "after {known}");
    }
    let registered = record(&[], facts[1].clone()).unwrap();
    assert_eq!(registered, facts[1..2], "nobody needs an invitation here");
    assert_eq!(record(&registered, invited(90)).unwrap(), []);
    let mut user = User::default();
    user.evolve(&facts[0]).unwrap();
    assert_eq!((user.user_id(), user.state()), (None, UserState::Invited));
    assert!(user.clone().evolve(&invited(90)).is_err(), "invited twice");
    assert!(user.clone().evolve(&facts[2]).is_err(), "logged in before registering");
    user.evolve(&facts[1]).unwrap();
    assert_eq!((user.user_id(), user.state()), (Some(user_id(1)), UserState::Active));
    assert!(user.evolve(&invited(90)).is_err(), "invited after registering");
}

#[test]
fn a_user_is_disabled_enabled_and_forgotten_once_each() {
    let registered = samples::user()[..2].to_vec();
    let disabled = |n| UserEvent::UserDisabled { fact_id: fact_id(n), at: at(1), by: By::Operator };
    let enabled = |n| UserEvent::UserEnabled { fact_id: fact_id(n), at: at(2), by: By::Operator };
    let forgotten = |n| UserEvent::UserForgotten { fact_id: fact_id(n), at: at(3), by: By::User };
    assert_eq!(record(&registered, enabled(90)).unwrap(), []);
    let off = [registered.clone(), record(&registered, disabled(91)).unwrap()].concat();
    assert_eq!(record(&off, disabled(92)).unwrap(), []);
    let gone = [off.clone(), record(&off, forgotten(93)).unwrap()].concat();
    for fact in [disabled(94), enabled(95), forgotten(96)] {
        assert_eq!(record(&gone, fact).unwrap(), []);
    }
    let again = UserEvent::UserRegistered {
        fact_id: fact_id(97),
        at: at(4),
        user_id: user_id(1),
        by: Door::Open,
    };
    assert_eq!(record(&gone, again).unwrap(), []);
    let mut user = User::default();
    gone.iter().for_each(|event| user.evolve(event).unwrap());
    assert_eq!((user.user_id(), user.state()), (Some(user_id(1)), UserState::Forgotten));
    assert!(user.evolve(&enabled(98)).is_err(), "an event that was never decided");
    assert!(user.evolve(&gone[2]).is_err(), "a fact that it has");
}

#[test]
fn a_user_knows_as_many_facts_again_as_may_be_under_way() {
    let refused = |n: usize| UserEvent::LogInRefused {
        fact_id: fact_id(1_000 + n as u128),
        at: at(1),
        reason: LogInRefusal::WrongPassword,
    };
    let mut facts = samples::user()[..2].to_vec();
    facts.extend((0..FACTS_REMEMBERED).map(refused));
    for n in 0..FACTS_REMEMBERED {
        assert_eq!(record(&facts, refused(n)).unwrap(), [], "fact {n}");
    }
    assert_eq!(record(&facts, refused(FACTS_REMEMBERED)).unwrap().len(), 1);
}

#[test]
fn a_grant_is_made_once_and_revoked_once_and_never_comes_back() {
    let (made, ended) = (samples::account()[12].clone(), samples::account()[13].clone());
    let opened = samples::account()[..1].to_vec();
    let grant_id = samples::grant_id(1);
    let grant = || AccountCommand::Grant { grant_id, user_id: user_id(2), role: GrantRole::Trader };
    let revoke = || AccountCommand::Revoke { grant_id };
    assert_eq!(when::<Account>(&[], grant()), Err(AccountError::NotFound));
    assert_eq!(when::<Account>(&opened, revoke()).unwrap(), []);
    assert_eq!(when::<Account>(&opened, grant()).unwrap(), samples::account()[12..13]);
    let granted = [opened, vec![made]].concat();
    assert_eq!(when::<Account>(&granted, grant()).unwrap(), []);
    assert_eq!(when::<Account>(&granted, revoke()).unwrap(), samples::account()[13..14]);
    let revoked = [granted, vec![ended]].concat();
    for command in [grant(), revoke()] {
        assert_eq!(when::<Account>(&revoked, command).unwrap(), []);
    }
    let mut account = Account::default();
    revoked.iter().for_each(|event| account.evolve(event).unwrap());
    assert!(account.grants()[&grant_id].revoked);
    let state = serde_json::to_value(&account).unwrap();
    assert!(state["grants"][grant_id.to_string()]["offered"].is_null(), "as it was kept before");
    for event in &revoked[1..] {
        assert!(account.clone().evolve(event).is_err(), "{event:?} a second time");
    }
}

#[test]
fn an_offer_permits_nothing_ends_once_and_is_a_grant_from_its_acceptance_on() {
    let (offered, declined) = (samples::account()[14].clone(), samples::account()[15].clone());
    let (granted, revoked) = (samples::account()[12].clone(), samples::account()[13].clone());
    let opened = samples::account()[..1].to_vec();
    let grant_id = samples::grant_id(1);
    let (user_id, role) = (user_id(2), GrantRole::Trader);
    let offer = || AccountCommand::Offer { grant_id, user_id, role };
    let grant = || AccountCommand::Grant { grant_id, user_id, role };
    let decline = || AccountCommand::EndOffer { grant_id, reason: OfferEnd::Declined };
    let revoke = || AccountCommand::Revoke { grant_id };
    let history = |events: &[&AccountEvent]| {
        let mut all = opened.clone();
        all.extend(events.iter().map(|event| (*event).clone()));
        all
    };
    for (before, command, happens) in [
        (vec![], offer(), Some(&offered)),
        (vec![], decline(), None),
        (vec![&offered], offer(), None),
        (vec![&offered], revoke(), None),
        (vec![&offered], decline(), Some(&declined)),
        (vec![&offered], grant(), Some(&granted)),
        (vec![&offered, &declined], offer(), None),
        (vec![&offered, &declined], grant(), None),
        (vec![&offered, &declined], decline(), None),
        (vec![&offered, &granted], offer(), None),
        (vec![&offered, &granted], grant(), None),
        (vec![&offered, &granted], decline(), None),
        (vec![&offered, &granted], revoke(), Some(&revoked)),
        (vec![&offered, &granted, &revoked], grant(), None),
    ] {
        let found = when::<Account>(&history(&before), command.clone()).unwrap();
        let expected: Vec<_> = happens.cloned().into_iter().collect();
        assert_eq!(found, expected, "{command:?} after {before:?}");
    }
    for (before, impossible) in [
        (vec![], &declined),
        (vec![&offered], &offered),
        (vec![&offered], &revoked),
        (vec![&offered, &declined], &granted),
        (vec![&granted], &declined),
        (vec![&granted], &offered),
    ] {
        let mut account = Account::default();
        history(&before).iter().for_each(|event| account.evolve(event).unwrap());
        assert!(account.evolve(impossible).is_err(), "{impossible:?} after {before:?}");
    }
}

#[test]
fn the_words_of_access_are_read_as_they_are_written() {
    for scope in Scope::ALL {
        assert_eq!(scope.word().parse(), Ok(*scope));
    }
    for role in GrantRole::ALL {
        assert_eq!(role.word().parse(), Ok(*role));
    }
    for end in OfferEnd::ALL {
        assert_eq!(serde_json::to_string(end).unwrap(), format!("\"{end}\""));
    }
    for denial in Denial::ALL {
        assert_eq!(serde_json::to_string(denial).unwrap(), format!("\"{denial}\""));
    }
    let error = "Owner".parse::<GrantRole>().unwrap_err().to_string();
    assert_eq!(error, r#""Owner" is none of owner, trader, viewer, auditor"#);
}
