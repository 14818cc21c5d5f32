//! The filters that a gateway knows.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::{Schema, SchemaGenerator};

use crate::build::Wrong;
use crate::expression::asked;
use crate::mode::{MODE, Mode};
use crate::value::{Problem, Value, decode, scrub};
use crate::{Build, Filter, Invalid, Link};

/// The filters that a gateway knows, by name.
#[derive(Default)]
pub struct Registry(BTreeMap<&'static str, Entry>);

type Make = fn(&Value, String, String, &mut Build<'_>) -> Result<Link, Vec<Problem>>;

/// One known filter.
pub struct Entry {
    /// The word that selects it.
    pub name: &'static str,
    /// Whether it answers every request that reaches it.
    pub answers: bool,
    /// Whether it answers preflights.
    pub preflights: bool,
    make: Make,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Registry {
    /// Knows no filter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a filter.
    ///
    /// # Panics
    /// When the name is already taken: two filters of one name are a mistake in the program.
    #[must_use]
    pub fn add<F: Filter>(mut self) -> Self {
        let former = self.0.insert(
            F::NAME,
            Entry {
                name: F::NAME,
                answers: F::ANSWERS,
                preflights: F::PREFLIGHTS,
                make: make::<F>,
                schema: |generator| generator.subschema_for::<F::Config>(),
            },
        );
        assert!(former.is_none(), "two filters are called `{}`", F::NAME);
        self
    }

    /// The filter that a word selects.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// All filters, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

impl Entry {
    /// Builds the filter from its options, among which every filter has its `mode`.
    ///
    /// # Errors
    /// Every problem with the options, each with its place; a panic of the filter's is one.
    pub fn build(
        &self,
        options: &Value,
        label: String,
        place: String,
        cx: &mut Build<'_>,
    ) -> Result<Link, Vec<Problem>> {
        let (mode, own) = Mode::take(options)?;
        if mode == Mode::Observe && self.answers {
            let message = format!(
                "`{}` answers every request, so that there is nothing to observe",
                self.name
            );
            return Err(vec![Problem::new(options.at(MODE).place.clone(), message)]);
        }
        let mut link = (self.make)(&own, label, place, cx)?;
        link.mode = mode;
        Ok(link)
    }

    /// The JSON Schema of the filter's options. Its description is the reference page.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// A panic of the filter's is a problem with its options, like any other: it must not take the
/// gateway along that tries a new configuration.
fn make<F: Filter>(
    options: &Value,
    label: String,
    place: String,
    cx: &mut Build<'_>,
) -> Result<Link, Vec<Problem>> {
    let build = AssertUnwindSafe(|| {
        let config = decode::<F::Config>(options)?;
        F::build(config, cx).map_err(|invalid| problems(&invalid, options))
    });
    let (built, asked) = asked(|| catch_unwind(build));
    match built {
        Ok(built) => built.map(|filter| {
            let mut link = Link::new(label, place, filter);
            link.params = asked.params;
            link.ties = cx.take_ties();
            link.ties.reads.extend(asked.fields);
            link
        }),
        Err(panic) => {
            let message = format!("the filter `{}` panicked: {}", F::NAME, words(&*panic));
            let message = scrub(message, options);
            Err(vec![Problem::new(options.place.clone(), message)])
        }
    }
}

fn problems(invalid: &Invalid, options: &Value) -> Vec<Problem> {
    let problem = |wrong: &Wrong| {
        let place = options.at(&wrong.path).place.clone();
        let mut problem = Problem::new(place, scrub(wrong.message.clone(), options));
        problem.related.clone_from(&wrong.related);
        problem
    };
    invalid.problems().iter().map(problem).collect()
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
}

#[cfg(test)]
mod tests {
    use crate::testing::{probe, refusal};
    use crate::{Build, Deserialize, Filter, Flow, Invalid, JsonSchema, Request};

    /// Panics while it is built, unless its option is a number that is not 0.
    struct Brittle;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        divisor: String,
    }

    impl Filter for Brittle {
        const NAME: &'static str = "brittle";
        type Config = Config;
        type State = ();

        fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
            cx.keep("quotient", || {
                let divisor = &config.divisor;
                let number: u32 = divisor.parse().unwrap_or_else(|_| panic!("bad {divisor}"));
                assert!(number != 0, "no division by zero");
                100 / number
            });
            Ok(Self)
        }

        async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
            Ok(())
        }
    }

    #[test]
    fn a_panic_while_building_is_a_problem_at_the_filters_place() {
        assert_eq!(
            refusal::<Brittle>("\n  divisor: '0'"),
            "2:3: the filter `brittle` panicked: no division by zero"
        );
        drop(probe::<Brittle>("divisor: '5'"));
    }

    #[test]
    fn a_panic_does_not_tell_a_secret() {
        let said = refusal::<Brittle>("divisor: '${env:s3cr3t-word}'");
        assert!(said.contains("panicked: bad "), "{said}");
        assert!(!said.contains("bad s3cr3t"), "{said}");
    }
}
