//! The error of a setting.

/// The error of a setting, which displays as one sentence without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct BadSetting {
    /// The environment variable.
    pub name: &'static str,
    /// The problem, a predicate such as "is not set".
    pub problem: String,
}

/// Returns the error of a setting.
pub(super) fn bad(name: &'static str, problem: impl Into<String>) -> BadSetting {
    BadSetting { name, problem: problem.into() }
}
