//! Words of people, written so that forgetting finds them.

use aggregates::id::OPERATOR_TENANT;

use super::{Caller, Service, ServiceError};

impl Service {
    /// Writes words of the caller's tenant. Its user is not forgotten meanwhile, and they are not written if it is.
    ///
    /// # Errors
    /// The user was forgotten, or the database failed.
    pub(super) async fn write_words(
        &self,
        caller: &Caller,
        writing: impl Future<Output = Result<(), sqlx::Error>>,
    ) -> Result<(), ServiceError> {
        if caller.tenant == OPERATOR_TENANT {
            return Ok(writing.await?);
        }
        let held = self.parts.identity.hold(caller.tenant).await?;
        if held.is_none() && !caller.is_operator() {
            let message = "the user whose account this is has been forgotten: no name and no note is kept of them";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let written = writing.await;
        if let Some(held) = held {
            held.release().await?;
        }
        Ok(written?)
    }
}
