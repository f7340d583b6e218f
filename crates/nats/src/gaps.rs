//! What an observation could not see, as gaps of a view.

use leeward_core::snapshot::Gap;

use crate::request_error::RequestError;

/// What could not be read, for display.
pub(crate) fn unreadable(message: impl Into<String>) -> Gap {
    let message = message.into();
    Gap::Unreadable { message }
}

/// What a failed request leaves unseen.
pub(crate) fn gap(error: RequestError) -> Gap {
    match error {
        RequestError::Denied { subject } => Gap::Denied { subject },
        RequestError::Disconnected | RequestError::Interrupted { .. } => Gap::Disconnected {
            message: error.to_string(),
        },
        RequestError::NoResponders { .. }
        | RequestError::Timeout { .. }
        | RequestError::Withheld { .. }
        | RequestError::Unsendable { .. }
        | RequestError::Unpackable { .. } => unreadable(error.to_string()),
    }
}
