//! `/v1/users` and `/v1/invitations`.

use std::sync::Arc;

use aggregates::id::UserId;
use aggregates::refusal::{Refusal, RefusalCode};
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use serde_json::json;

use super::Face;
use super::auth::Operator;
use super::input::Fields;
use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, JsonBody, Path, Query, Sender, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::identity::email::LONGEST as EMAIL_MAX;
use crate::identity::passwords::{LONGEST as PASSWORD_MAX, Password};
use crate::identity::registering::Entry;
use crate::service::{
    Changed, INVITATION_DAYS_MAX, InvitationAnswer, Page, Service, ServiceError, UserAnswer,
    UserChange,
};

/// The longest invitation, in characters.
const INVITATION_MAX: usize = 100;

/// How the address and the password of a user are described, here and for log-ins.
pub(super) fn credentials() -> [Field; 2] {
    [
        Field::text(
            "email",
            EMAIL_MAX,
            "The address to log in with, in ASCII; case does not matter.",
        )
        .required()
        .example("ada@example.org"),
        password("password", "The password."),
    ]
}

fn password(name: &'static str, about: &str) -> Field {
    Field::text(name, PASSWORD_MAX, about).required().example("several unrelated words here")
}

/// The routes.
pub fn routes() -> Routes {
    let [email, _] = credentials();
    let chosen = "At least 8 characters, at most 256 bytes, and hard to guess; no other rules.";
    let invited = Field::text(
        "invitation",
        INVITATION_MAX,
        "The code of an invitation, where registration is by invitation.",
    );
    let days =
        [Field::whole("days", 1, INVITATION_DAYS_MAX, "How long it is good for; 7 if absent.")
            .example(7)];
    let own = || Operation::write(Act::ManageProfile, "forget_me", "Forget the caller");
    Routes::new("users")
        .post(
            "/users",
            register,
            Operation::open("register", "Register a user")
                .about(
                    "The user has a tenant of their own: open accounts in it after logging in. Needs no token; the operator's \
                     registers anybody, whoever else may.",
                )
                .body(&[email.clone(), password("password", chosen), invited], json!({
                    "email": "ada@example.org", "password": "several unrelated words here",
                }))
                .answers::<Changed<UserAnswer>>(201, "The user.")
                .may(403)
                .may(409)
                .may(429),
        )
        .get(
            "/users",
            list,
            Operation::read(Act::ManageUsers, "list_users", "All users, the oldest first")
                .paged()
                .answers::<Page<UserAnswer>>(200, "A page of users."),
        )
        .get(
            "/users/me",
            profile,
            Operation::read(Act::ManageProfile, "get_profile", "The caller as a user")
                .answers::<UserAnswer>(200, "The user."),
        )
        .on(
            Method::PATCH,
            "/users/me",
            change_email,
            Operation::write(Act::ManageProfile, "change_email", "Log in with another address from now on")
                .body(&[email, password("password", "The present password.")], json!({
                    "email": "ada@example.net", "password": "several unrelated words here",
                }))
                .answers::<Changed<UserAnswer>>(200, "The user after it."),
        )
        .on(
            Method::PUT,
            "/users/me/password",
            change_password,
            Operation::write(Act::ManageProfile, "change_password", "Change the password")
                .about("Every other session of the user ends.")
                .body(
                    &[
                        password("current_password", "The present password."),
                        password("new_password", chosen),
                    ],
                    json!({
                        "current_password": "several unrelated words here",
                        "new_password": "four other words entirely",
                    }),
                )
                .answers::<Changed<UserChange>>(200, "Whose."),
        )
        .delete(
            "/users/me",
            forget_me,
            own()
                .about(
                    "The address, the password, sessions, tokens, grants, names of accounts and notes of orders are \
                     deleted at once. The log keeps what was done, by id.",
                )
                .body(&[password("password", "The password.")], json!({
                    "password": "several unrelated words here",
                }))
                .answers::<Changed<UserChange>>(200, "Who it was."),
        )
        .post(
            "/users/{user_id}/disable",
            disable,
            Operation::write(Act::ManageUsers, "disable_user", "Let a user not log in any more")
                .about("Every session of the user ends at once.")
                .answers::<Changed<UserAnswer>>(200, "The user after it."),
        )
        .post(
            "/users/{user_id}/enable",
            enable,
            Operation::write(Act::ManageUsers, "enable_user", "Let a user log in again")
                .answers::<Changed<UserAnswer>>(200, "The user after it."),
        )
        .delete(
            "/users/{user_id}",
            forget,
            Operation::write(Act::ManageUsers, "forget_user", "Forget a user")
                .about("What the user could do by `DELETE /v1/users/me`.")
                .answers::<Changed<UserChange>>(200, "Who it was."),
        )
        .post(
            "/invitations",
            invite,
            Operation::write(Act::ManageUsers, "invite", "Make a code that lets one person register")
                .body(&days, json!({"days": 7}))
                .answers::<Changed<InvitationAnswer>>(201, "The code, shown once."),
        )
}

/// A password that has to be there.
pub(super) fn secret(body: &mut Fields, name: &str) -> Option<Password> {
    let given = body.secret(name);
    body.need(name, given)
}

/// A body that was read to its end has the fields that it needs.
pub(super) fn unread() -> Problem {
    ServiceError::Defect("a field that was needed is not there".to_owned()).into()
}

/// `POST /v1/users`
async fn register(
    State(face): State<Face>,
    Sender(guest): Sender,
    operator: Option<Extension<Operator>>,
    JsonBody(mut body): JsonBody,
) -> Result<(StatusCode, Json<Changed<UserAnswer>>), Problem> {
    if operator.is_none() {
        face.rates.registration(guest.address).map_err(|slow| Problem::too_many(&slow))?;
    }
    let email = body.text("email", EMAIL_MAX);
    let email = body.need("email", email);
    let password = secret(&mut body, "password");
    let invitation = body.text("invitation", INVITATION_MAX);
    body.end([])?;
    let (Some(email), Some(password)) = (email, password) else { return Err(unread()) };
    let entry = match operator {
        Some(_) => Entry::Operator,
        None => Entry::Stranger(invitation.as_deref()),
    };
    let made = face.service.register(&email, &password, entry, &guest).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// `GET /v1/users`
async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    mut query: Query,
) -> Result<Json<Page<UserAnswer>>, Problem> {
    let page = query.page();
    query.0.end([])?;
    Ok(Json(service.users(&caller, &page).await?))
}

/// `GET /v1/users/me`
async fn profile(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
) -> Result<Json<UserAnswer>, Problem> {
    Ok(Json(service.profile(&caller).await?))
}

/// `PATCH /v1/users/me`
async fn change_email(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Sender(guest): Sender,
    JsonBody(mut body): JsonBody,
) -> Result<Json<Changed<UserAnswer>>, Problem> {
    let email = body.text("email", EMAIL_MAX);
    let email = body.need("email", email);
    let password = secret(&mut body, "password");
    body.end([])?;
    let (Some(email), Some(password)) = (email, password) else { return Err(unread()) };
    Ok(Json(service.change_email(&caller, &password, &email, &guest).await?))
}

/// `PUT /v1/users/me/password`
async fn change_password(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Sender(guest): Sender,
    JsonBody(mut body): JsonBody,
) -> Result<Json<Changed<UserChange>>, Problem> {
    let current = secret(&mut body, "current_password");
    let new = secret(&mut body, "new_password");
    body.end([])?;
    let (Some(current), Some(new)) = (current, new) else { return Err(unread()) };
    Ok(Json(service.change_password(&caller, &current, &new, &guest).await?))
}

/// `DELETE /v1/users/me`
async fn forget_me(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Sender(guest): Sender,
    JsonBody(mut body): JsonBody,
) -> Result<Json<Changed<UserChange>>, Problem> {
    let password = secret(&mut body, "password");
    body.end([])?;
    let Some(password) = password else { return Err(unread()) };
    Ok(Json(service.forget_me(&caller, &password, &guest).await?))
}

fn no_user() -> ServiceError {
    Refusal::new(RefusalCode::UserNotFound, "there is no such user").into()
}

async fn set_active(
    service: &Service,
    caller: &crate::service::Caller,
    user: &str,
    active: bool,
) -> Result<Json<Changed<UserAnswer>>, Problem> {
    let user: UserId = id(user, no_user)?;
    Ok(Json(service.set_active(caller, user, active).await?))
}

/// `POST /v1/users/{user_id}/disable`
async fn disable(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(user): Path<String>,
) -> Result<Json<Changed<UserAnswer>>, Problem> {
    set_active(&service, &caller, &user, false).await
}

/// `POST /v1/users/{user_id}/enable`
async fn enable(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(user): Path<String>,
) -> Result<Json<Changed<UserAnswer>>, Problem> {
    set_active(&service, &caller, &user, true).await
}

/// `DELETE /v1/users/{user_id}`
async fn forget(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(user): Path<String>,
) -> Result<Json<Changed<UserChange>>, Problem> {
    let user: UserId = id(&user, no_user)?;
    Ok(Json(service.forget_user(&caller, user).await?))
}

/// `POST /v1/invitations`
async fn invite(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    JsonBody(mut body): JsonBody,
) -> Result<(StatusCode, Json<Changed<InvitationAnswer>>), Problem> {
    let days = body.whole("days", 1, INVITATION_DAYS_MAX);
    body.end([])?;
    Ok((StatusCode::CREATED, Json(service.invite(&caller, days).await?)))
}
