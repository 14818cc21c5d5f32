//! Whether a filter gets what it goes by, from the path, from clients, or from the filters before it.

use wiregate_sdk::Link;
use wiregate_sdk::value::Place;

use super::Builder;
use crate::compile::UnderscoresInFields;
use crate::router::param_help;

impl Builder<'_> {
    /// A parameter that no path of the route has would always be empty: all callers would share
    /// what is counted by it.
    pub(super) fn check_params(&mut self, link: &Link, known: &[&str], place: &Place) {
        for name in &link.params {
            if !known.contains(&&**name) {
                let message = format!(
                    "`{}` asks for the parameter `{name}`, which no path of this route has",
                    link.label
                );
                self.say(place, message, Some(param_help(name, known)));
            }
        }
    }

    /// A field that never comes would always be empty, as a parameter would.
    pub(super) fn check_fields(&mut self, link: &Link, before: &[Link], place: &Place) {
        if self.around.underscores == UnderscoresInFields::Keep {
            return;
        }
        for name in &link.ties.reads {
            let is_set = || before.iter().any(|link| link.ties.sets.contains(name));
            if name.as_str().contains('_') && !is_set() {
                let message = format!(
                    "`{}` asks for the request field `{name}`, which never comes: fields with an \
                     underscore in their name are dropped",
                    link.label
                );
                let other = name.as_str().replace('_', "-");
                let help =
                    format!("let clients send `{other}`, or write `underscores_in_fields: keep`");
                self.say(place, message, Some(help));
            }
        }
    }

    /// Without a consumer all callers would be one.
    pub(super) fn check_consumers(&mut self, link: &Link, before: &[Link], place: &Place) {
        let is_found = before.iter().any(|link| link.ties.finds_consumers);
        if link.ties.needs_consumer && !is_found {
            let message = format!(
                "`{}` goes by the consumer, and no filter before it finds out which one is calling",
                link.label
            );
            let help = "put one before it that does: `api_key`, `basic_auth`, or `jwt` with `consumer`; \
                        callers whom nobody but an issuer knows have `identity.name`";
            self.say(place, message, Some(help.to_owned()));
        }
    }
}
