//! `jwt`: lets callers in who bring a token that an issuer has signed.

mod algorithm;
mod build;
mod claims;
mod config;
mod fetch;
mod json;
mod jwk;
mod key;
mod keys;
mod last;
mod lifetime;
mod options;
mod pem;
mod refusals;
mod remote;
mod requirement;
#[cfg(test)]
mod tests;
mod token;
mod verified;

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::{Build, Consumers, Filter, Flow, Identity, Invalid, Now, Reply, Request};

pub use algorithm::Algorithm;
use build::digest_of;
use claims::{Expected, Meaning, Path};
pub use config::{Config, UnknownConsumer};
use keys::{Keys, Verdict};
pub use options::{Encoding, Fetching, KeySource, PlainHttp};
use refusals::Refusals;
use requirement::Requirement;
use token::{Rules, Token, Why};
use verified::{Entry, Tag, Verified};

use super::source::{Presented, Source, presented};

/// The running form of `jwt`.
pub struct Jwt {
    sources: Vec<Source>,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    typ: Option<String>,
    expected: Expected,
    meaning: Meaning,
    /// The claim that says which consumer is calling.
    consumer: Option<Path>,
    unknown_consumer: UnknownConsumer,
    consumers: Arc<Consumers>,
    scopes: Vec<String>,
    when: Option<Requirement>,
    strip: bool,
    max_token: usize,
    verified: Arc<Verified>,
    refusals: Refusals,
}

impl Filter for Jwt {
    const NAME: &'static str = "jwt";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        config.check()?;
        config.check_consumers(&cx.consumers)?;
        // All of it, but for what secrets and files hold.
        let written = format!("{config:?}");
        let sources = Source::all(&config.from, cx)?;
        if config.consumer.is_some() {
            cx.finds_consumers();
        }
        let scopes = config.scopes.map(OneOrMany::into_vec).unwrap_or_default();
        let refusals = Refusals::new(&sources, &config.realm, &scopes)?;
        let algorithms = config.algorithms.into_vec();
        let mut builder = build::Builder::new(cx, &algorithms, &config.fetch);
        let keys = builder.keys(config.keys.as_deref(), config.issuer.as_deref())?;
        let material = builder.material();
        let key = [&material[..], written.as_bytes()].concat();
        let key = format!("verified {:?}", digest_of(&key));
        let verified = cx.keep(key, || Verified::new(config.remember, &keys.fetched));
        let verified = if verified.is_by(&keys.fetched) {
            verified
        } else {
            Arc::new(Verified::new(config.remember, &keys.fetched))
        };
        Ok(Self {
            sources,
            keys,
            algorithms,
            typ: config.typ,
            expected: Expected {
                issuer: config.issuer,
                audience: config.audience.map(OneOrMany::into_vec).unwrap_or_default(),
                leeway: config.leeway.get(),
                require: config.require,
            },
            meaning: Meaning {
                name: config.name,
                groups: config.groups,
                scopes: config.scope,
            },
            consumer: config.consumer,
            unknown_consumer: config.unknown_consumer,
            consumers: cx.consumers.clone(),
            scopes,
            when: config.when,
            strip: config.strip,
            max_token: config.max_token.len(),
            verified,
            refusals,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        for source in &self.sources {
            source.conceal(req.exchange);
        }
        let now = req.now();
        let generation = self.keys.generation();
        let token = match presented(&self.sources, req) {
            Presented::None => return Err(self.refusals.missing.clone()),
            Presented::Several => return Err(self.refusals.several.clone()),
            Presented::One(token) if token.len() > self.max_token => {
                let (found, most) = (token.len(), self.max_token);
                let why = format!("the token has {found} bytes, expected at most {most}");
                return Err(self.refusals.invalid(why));
            }
            Presented::One(token) => token,
        };
        let tag = self.verified.tag_of(&token);
        let identity = match self.remembered(&tag, generation, now) {
            Some(identity) => identity,
            None => {
                let token = token.into_owned();
                // Boxed, which keeps the future of those that are remembered small.
                Box::pin(self.verify(&token, tag, now)).await?
            }
        };
        req.exchange.identity = Some(identity);
        self.authorise(req)?;
        if self.strip {
            for source in &self.sources {
                source.strip(req);
            }
        }
        Ok(())
    }
}

impl Jwt {
    /// Who a token that was verified says is calling. Its consumer is looked for anew where the
    /// configuration has changed since: one that is not known any more is for `verify` to refuse.
    fn remembered(&self, tag: &Tag, generation: u64, now: Now) -> Option<Arc<Identity>> {
        let verified = &self.verified;
        verified.find(tag, generation, now.wall, |entry| match &self.consumer {
            Some(path) if !entry.is_of(&self.consumers) => {
                let claimed = entry.claimed.clone()?;
                let identity = self.find_consumer(path, &claimed).ok()?;
                let holds = (entry.until, generation);
                self.remember(*tag, holds, Some(claimed), &identity, now);
                Some(identity)
            }
            _ => Some(entry.identity.clone()),
        })
    }

    /// Verifies a token that is not remembered, and says who is calling.
    async fn verify(&self, token: &[u8], tag: Tag, now: Now) -> Result<Arc<Identity>, Reply> {
        let invalid = |why| self.refusals.invalid(why);
        let rules = Rules {
            algorithms: &self.algorithms,
            typ: self.typ.as_deref(),
        };
        let token = Token::read(token, &rules).map_err(invalid)?;
        let generation = self.verify_signature(&token, now).await?;
        let claims = token.claims().map_err(invalid)?;
        let until = self.expected.check(&claims, now.wall).map_err(invalid)?;
        let claimed = Arc::new(self.meaning.identity(claims).map_err(invalid)?);
        let (identity, claimed) = match &self.consumer {
            None => (claimed, None),
            Some(path) => {
                let known = self.find_consumer(path, &claimed);
                let refuse = |why| self.refusals.unknown_consumer.clone().log(why);
                (known.map_err(refuse)?, Some(claimed))
            }
        };
        self.remember(tag, (until, generation), claimed, &identity, now);
        Ok(identity)
    }

    fn remember(
        &self,
        tag: Tag,
        (until, generation): (SystemTime, u64),
        claimed: Option<Arc<Identity>>,
        identity: &Arc<Identity>,
        now: Now,
    ) {
        let entry = Entry {
            tag,
            until,
            generation,
            identity: identity.clone(),
            claimed,
            consumers: Arc::downgrade(&self.consumers),
        };
        self.verified.add(entry, now.wall);
    }

    /// Verifies the signature, with keys that are fetched where that may help. Gives the generation
    /// of the keys.
    async fn verify_signature(&self, token: &Token<'_>, now: Now) -> Result<u64, Reply> {
        let mut generation = self.keys.generation();
        let mut verdict = self.keys.verify(token);
        if verdict.is_open() {
            let mut fetches = self.keys.refresh(now.instant, generation);
            while verdict.is_open()
                && let Some(is_new) = fetches.next().await
            {
                if is_new {
                    generation = self.keys.generation();
                    verdict = self.keys.verify(token);
                }
            }
        }
        let why = match verdict {
            Verdict::Right => return Ok(generation),
            Verdict::Unknown | Verdict::Nameless if !self.keys.are_complete() => {
                return Err(self.refusals.unavailable.clone());
            }
            Verdict::Wrong => "the signature is wrong",
            Verdict::Unknown => "none of the keys has signed the token",
            Verdict::Nameless => {
                "none of the keys has the name that the token gives (`kid`), and there are many without one"
            }
            Verdict::Ambiguous if token.key.is_some() => {
                "many keys have the name that the token gives (`kid`)"
            }
            Verdict::Ambiguous => "the token names no key (`kid`), and there are many",
        };
        Err(self.refusals.invalid(why.into()))
    }

    /// The caller as the consumer that it is.
    fn find_consumer(&self, path: &Path, claimed: &Arc<Identity>) -> Result<Arc<Identity>, Why> {
        let said = claimed.claim(path);
        let said = said.and_then(serde_json::Value::as_str);
        let issuer = self.expected.issuer.as_deref();
        match said.and_then(|said| self.consumers.with_subject(issuer, said)) {
            Some(holder) => {
                let groups = claimed.groups.iter().chain(&*holder.consumer.groups);
                Ok(Arc::new(Identity {
                    groups: groups.cloned().collect(),
                    consumer: Some(holder.consumer.clone()),
                    ..Identity::clone(claimed)
                }))
            }
            None if self.unknown_consumer == UnknownConsumer::Allow => Ok(claimed.clone()),
            None => Err(format!(
                "`{}` says no consumer that is known",
                path.join(".")
            )),
        }
    }

    /// Whether who is calling may.
    fn authorise(&self, req: &Request<'_>) -> Flow {
        let identity = req.exchange.identity.as_ref();
        let lacks = |scope: &&String| {
            !identity.is_some_and(|it| it.scopes.iter().any(|own| **own == ***scope))
        };
        let mut missing = self.scopes.iter().filter(lacks).peekable();
        if missing.peek().is_some() {
            return Err(self.refusals.insufficient_scope(missing));
        }
        let Some(when) = &self.when else {
            return Ok(());
        };
        match when.test(&req.facts()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refusals.not_allowed(when, None)),
            Err(why) => Err(self.refusals.not_allowed(when, Some(&why))),
        }
    }
}
