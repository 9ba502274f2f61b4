//! A strict reader of settings in JSON: every member must be known and of its type.

use serde_json::{Map, Value};

use crate::error::{ConfigError, Reason};
use crate::json::parse_object;
use crate::keys::Algorithm;

/// The largest duration, in seconds: a hundred years.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// A JSON object of settings. Reading a member removes it; [`Settings::finish`] refuses what remains.
pub(crate) struct Settings {
    what: &'static str,
    members: Map<String, Value>,
}

impl Settings {
    /// Parses a JSON object. `what` names one setting in messages, such as "policy field".
    ///
    /// Errors: `SettingInvalid`, as all methods.
    pub fn parse(text: &[u8], what: &'static str) -> Result<Settings, ConfigError> {
        // Some encoders write an empty Lua table as an empty list.
        let members = if text == b"[]" { Some(Map::new()) } else { parse_object(text) };
        let members = members.ok_or_else(|| {
            ConfigError::new(Reason::SettingInvalid, format!("each {what} must have a name: a table is needed"))
        })?;
        Ok(Settings { what, members })
    }

    /// Returns a `SettingInvalid` with its message.
    pub fn invalid(&self, message: &str) -> ConfigError {
        ConfigError::new(Reason::SettingInvalid, message)
    }

    /// Returns the error for a setting with an invalid value. `must` says which values are valid.
    pub fn wrong(&self, name: &str, must: &str) -> ConfigError {
        self.invalid(&format!("the {} \"{name}\" must be {must}", self.what))
    }

    /// Returns a string that is not empty.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ConfigError> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string that is not empty")),
        }
    }

    /// Returns one string or a list of strings, neither the list nor any string being empty.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let must = "a string or a list of strings, none of them empty";
        let items = match self.members.remove(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(item) => vec![item],
        };
        let texts: Option<Vec<_>> = items
            .into_iter()
            .map(|item| match item {
                Value::String(text) if !text.is_empty() => Some(text),
                _ => None,
            })
            .collect();
        texts.filter(|texts| !texts.is_empty()).map(Some).ok_or_else(|| self.wrong(name, must))
    }

    /// Returns a whole number of seconds, `least` or more.
    pub fn seconds(&mut self, name: &str, least: u64) -> Result<Option<u32>, ConfigError> {
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
        let seconds = value.as_u64().or_else(|| value.as_f64().and_then(whole));
        match seconds.filter(|seconds| (least..=MAX_SECONDS).contains(seconds)) {
            Some(seconds) => Ok(Some(seconds as u32)), // at most MAX_SECONDS
            None => Err(self.wrong(name, &format!("a whole number of seconds, {least} or more"))),
        }
    }

    /// Returns a time in whole seconds since the epoch, before the year 10000.
    pub fn time(&mut self, name: &str) -> Result<Option<i64>, ConfigError> {
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        match seconds.filter(|seconds| (0..=253_402_300_799).contains(seconds)) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(self.wrong(name, "a whole number of seconds since 1970")),
        }
    }

    /// Returns a boolean.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ConfigError> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// Returns an object; an empty list passes as absent.
    pub fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ConfigError> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(Value::Array(items)) if items.is_empty() => Ok(None),
            Some(_) => Err(self.wrong(name, "a table")),
        }
    }

    /// Returns the algorithm with that name.
    pub fn algorithm(&self, name: &str) -> Result<Algorithm, ConfigError> {
        Algorithm::from_name(name).ok_or_else(|| {
            let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
            self.invalid(&format!("\"{name}\" is no algorithm; there are {}", known.join(", ")))
        })
    }

    /// Refuses unknown members: a typo must not pass as an absent setting.
    pub fn finish(self) -> Result<(), ConfigError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.invalid(&format!("there is no {} \"{name}\"", self.what))),
        }
    }
}
