//! Error messages: the whole chain of causes in one line, and no text twice.

use std::error::Error;

/// An error with its causes. A cause whose text is already part of the message is skipped, since kube's errors repeat
/// theirs; the Kubernetes API's own message is quoted.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            // kube writes the whole answer twice.
            let before = text.split("ApiError: ").next().unwrap_or_default();
            let joint = if before.is_empty() || before.ends_with(": ") {
                ""
            } else {
                ": "
            };
            return format!("{before}{joint}{} ({})", status.message, status.code);
        }
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn the_words_of_the_api_are_said_once() {
        let status = kube::core::Status::failure("streams is forbidden", "Forbidden").with_code(403);
        let error = Outer(kube::Error::Api(Box::new(status)));
        assert_eq!(chain(&error), "it failed: streams is forbidden (403)");
        assert_eq!(chain(&error.0), "streams is forbidden (403)");
    }
}
