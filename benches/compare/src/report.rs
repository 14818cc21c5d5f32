//! From the samples of all rounds to medians and ratios.

use std::fmt::{Display, Formatter, Write};

use serde::Serialize;

use crate::scenario::Goal;

/// One contender in one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Processor time of the proxy per request, in microseconds.
    pub cpu_us: f64,
    /// The part of it that is not the kernel's.
    pub user_us: f64,
    pub requests_per_second: f64,
    /// Where the load tells.
    pub p99_ms: Option<f64>,
    pub resident_bytes: u64,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub rounds: u32,
    pub seconds: u32,
    pub connections: u32,
    /// The processor of the proxy and those of the others; none if nothing was pinned.
    pub pinned: Option<(String, String)>,
    /// How many bytes each answer has, as the origin makes it.
    pub answer: usize,
    /// What ratios are taken against, where it takes part.
    pub bases: Vec<String>,
    pub contenders: Vec<Row>,
    pub goals: Vec<Measured>,
}

/// A goal and what was measured; nothing where one of the two did not take part.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub who: String,
    pub against: String,
    pub at_most: f64,
    pub measured: Option<f64>,
}

/// One contender over all rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub median: Sample,
    /// Largest less smallest processor time per request, as a part of the median.
    pub spread: f64,
    /// For each of the bases: the median over the rounds of processor time per request, divided
    /// by that of the base in the same round. Noise that lasts longer than a round cancels out.
    pub cpu_ratios: Vec<Option<f64>>,
    pub samples: Vec<Sample>,
}

/// A contender's name and its samples, one for each round.
pub type Sampled = (String, Vec<Sample>);

/// Summarises what was sampled.
///
/// # Panics
/// A contender without samples, or with another number of them than the others.
pub fn rows(sampled: &[Sampled], bases: &[String]) -> Vec<Row> {
    let row = |(name, samples): &Sampled| {
        let cpu = median(samples.iter().map(|sample| sample.cpu_us));
        let least = samples.iter().map(|s| s.cpu_us).fold(f64::MAX, f64::min);
        let most = samples.iter().map(|s| s.cpu_us).fold(0.0, f64::max);
        let bases = bases.iter();
        Row {
            name: name.clone(),
            median: Sample {
                cpu_us: cpu,
                user_us: median(samples.iter().map(|s| s.user_us)),
                requests_per_second: median(samples.iter().map(|s| s.requests_per_second)),
                p99_ms: (samples.iter().map(|s| s.p99_ms).collect::<Option<Vec<_>>>())
                    .map(|all| median(all.into_iter())),
                resident_bytes: median(samples.iter().map(|s| s.resident_bytes as f64)) as u64,
            },
            spread: (most - least) / cpu,
            cpu_ratios: bases.map(|base| ratio(sampled, name, base)).collect(),
            samples: samples.clone(),
        }
    };
    sampled.iter().map(row).collect()
}

/// Processor time per request of one contender, divided by that of another one in the same round;
/// the median over the rounds. Nothing where one of them did not take part.
fn ratio(sampled: &[Sampled], who: &str, against: &str) -> Option<f64> {
    let samples = |name: &str| sampled.iter().find(|(other, _)| *other == name);
    let ((_, ours), (_, theirs)) = (samples(who)?, samples(against)?);
    assert_eq!(ours.len(), theirs.len(), "one sample for each round");
    let pairs = ours.iter().zip(theirs);
    Some(median(
        pairs.map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us),
    ))
}

/// What became of goals.
pub fn measured(sampled: &[Sampled], goals: &[Goal]) -> Vec<Measured> {
    let measured = |goal: &Goal| {
        let (who, against) = (goal.who.name(), goal.against.name());
        Measured {
            measured: ratio(sampled, &who, &against),
            who,
            against,
            at_most: goal.at_most,
        }
    };
    goals.iter().map(measured).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

impl Report {
    /// The table that is printed.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}: medians of {} rounds of {} s, {} connections, ",
            self.scenario, self.rounds, self.seconds, self.connections
        );
        text += &match &self.pinned {
            Some((proxy, others)) => {
                format!("proxy on processor {proxy}, load and origin on {others}\n\n")
            }
            None => "nothing pinned\n\n".into(),
        };
        text += &format!(
            "{:<22}{:>12}{:>8}{:>9}{:>11}{:>11}{:>9}{:>9}   CPU per request against\n{:91}",
            "contender",
            "CPU us/req",
            "+-",
            "user us",
            "requests/s",
            "MB/CPU s",
            "p99 ms",
            "RSS MiB",
            ""
        );
        for base in &self.bases {
            text += &format!("{base:>width$}", width = width(base));
        }
        text += "\n";
        for row in &self.contenders {
            row.print(&mut text, self)
                .expect("a string takes everything");
        }
        for goal in &self.goals {
            text += &format!("{goal}\n");
        }
        text
    }
}

/// How wide the column of a base is.
fn width(base: &str) -> usize {
    base.len().max(6) + 2
}

impl Row {
    fn print(&self, text: &mut String, report: &Report) -> std::fmt::Result {
        let median = &self.median;
        write!(
            text,
            "{:<22}{:>12.2}{:>7.1}%{:>9.2}{:>11.0}{:>11.1}{:>9}{:>9.1}",
            self.name,
            median.cpu_us,
            self.spread * 50.0,
            median.user_us,
            median.requests_per_second,
            report.answer as f64 / median.cpu_us,
            (median.p99_ms).map_or("-".to_owned(), |p99| format!("{p99:.2}")),
            median.resident_bytes as f64 / f64::from(1 << 20),
        )?;
        for (ratio, base) in self.cpu_ratios.iter().zip(&report.bases) {
            let width = width(base);
            match ratio {
                Some(ratio) => write!(text, "{ratio:>width$.3}")?,
                None => write!(text, "{:>width$}", "-")?,
            }
        }
        writeln!(text)
    }
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { who, against, .. } = self;
        write!(f, "goal: {who} at most {:.2} of {against}: ", self.at_most)?;
        match self.measured {
            None => f.write_str("not measured"),
            Some(ratio) if ratio <= self.at_most => write!(f, "{ratio:.3}, kept"),
            Some(ratio) => write!(f, "{ratio:.3}, MISSED"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Contender;

    fn samples(cpu: &[f64]) -> Vec<Sample> {
        let sample = |cpu_us: &f64| Sample {
            cpu_us: *cpu_us,
            user_us: *cpu_us / 2.0,
            requests_per_second: 1000.0,
            p99_ms: Some(1.0),
            resident_bytes: 3 << 20,
        };
        cpu.iter().map(sample).collect()
    }

    #[test]
    fn ratios_pair_the_rounds() {
        // The second round was slow for both: the ratio of medians would be 30 / 20.
        let sampled = [
            ("bare".to_owned(), samples(&[20.0, 40.0, 20.0])),
            ("other".to_owned(), samples(&[30.0, 48.0, 24.0])),
        ];
        let rows = rows(&sampled, &["bare", "nginx"].map(str::to_owned));
        assert_eq!(rows[0].cpu_ratios, [Some(1.0), None]);
        assert_eq!(rows[1].cpu_ratios, [Some(1.2), None]);
        assert_eq!(rows[1].median.cpu_us, 30.0);
        assert_eq!(rows[1].spread, 0.8);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert_eq!(median([7.0].into_iter()), 7.0);
    }

    #[test]
    fn prints_a_table() {
        let sampled = [
            ("bare".to_owned(), samples(&[20.0, 22.0])),
            ("nginx".to_owned(), samples(&[10.0, 11.0])),
        ];
        let bases = ["bare", "bare-tuned", "nginx"].map(str::to_owned);
        let goal = |who, against| Goal {
            who,
            against,
            at_most: 1.9,
        };
        let goals = [
            goal(Contender::Nginx, Contender::Bare),
            goal(Contender::Bare, Contender::Nginx),
            goal(Contender::Bare, Contender::Plain),
        ];
        let report = Report {
            scenario: "http1",
            rounds: 2,
            seconds: 5,
            connections: 32,
            pinned: Some(("0".into(), "1".into())),
            answer: 1050,
            contenders: rows(&sampled, &bases),
            bases: bases.into(),
            goals: measured(&sampled, &goals),
        };
        let expected = "\
http1: medians of 2 rounds of 5 s, 32 connections, proxy on processor 0, load and origin on 1

contender               CPU us/req      +-  user us requests/s   MB/CPU s   p99 ms  RSS MiB   CPU per request against
                                                                                               bare  bare-tuned   nginx
bare                         21.00    4.8%    10.50       1000       50.0     1.00      3.0   1.000           -   2.000
nginx                        10.50    4.8%     5.25       1000      100.0     1.00      3.0   0.500           -   1.000
goal: nginx at most 1.90 of bare: 0.500, kept
goal: bare at most 1.90 of nginx: 2.000, MISSED
goal: bare at most 1.90 of wiregate-plain: not measured
";
        assert_eq!(report.table(), expected);
    }
}
