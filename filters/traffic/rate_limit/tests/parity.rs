//! The script in Redis decides as the gateway does.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::algorithms::{ALL, limits};
use super::redis::{PROGRAMS, Server};
use crate::traffic::rate_limit::algorithm::Algorithm;
use crate::traffic::rate_limit::limits::Limits;
use crate::traffic::rate_limit::shared::{TICKS, arguments};

const START: u64 = 1_790_000_123_456_789;

/// The script, with its time from the last argument.
fn script() -> redis::Script {
    let source = include_str!("../decide.lua");
    let time = "redis.call('TIME')";
    assert_eq!(source.matches(time).count(), 1);
    let source = source.replace(time, "{ 0, tonumber(table.remove(ARGV)) }");
    redis::Script::new(&source)
}

struct Twins {
    limits: Limits,
    cells: Vec<u64>,
    key: String,
}

impl Twins {
    /// Asks both; whether the request passes.
    fn ask(
        &mut self,
        script: &redis::Script,
        server: &mut redis::Connection,
        now: u64,
        cost: u32,
    ) -> Result<bool, TestCaseError> {
        let ours = self.limits.decide(now, &mut self.cells, cost);
        let mut call = script.key(&*self.key);
        call.arg(cost).arg(arguments(&self.limits)).arg(now);
        let theirs: Vec<u64> = call.invoke(server).unwrap();
        prop_assert_eq!(theirs[0] == 1, ours.admitted);
        prop_assert_eq!(theirs[1], now);
        prop_assert_eq!(&theirs[2..], &self.cells[..]);
        Ok(ours.admitted)
    }
}

#[test]
fn redis_and_the_gateway_decide_alike() {
    decide_alike(PROGRAMS[0]);
}

#[test]
fn valkey_and_the_gateway_decide_alike() {
    decide_alike(PROGRAMS[1]);
}

fn decide_alike(program: &str) {
    let server = Server::start_as(program);
    let script = script();
    let mut runner = TestRunner::new(Config::with_cases(60));
    let asked = prop::collection::vec((0..4_000_000_u64, 0..4_u32), 1..60);
    let given = (1..20_u32, 20..20_000_u64, asked, 1..30_u64, any::<u64>());
    let decided = runner.run(&given, |(count, millis, asked, back, number)| {
        let mut connection = server.connection();
        for algorithm in ALL {
            let rates = [
                format!("{count}/{millis}ms"),
                format!("{}/{}ms", count * 3, millis * 7),
            ];
            let rates = rates.each_ref().map(String::as_str);
            let limits = limits(algorithm, &rates, None, TICKS);
            let mut twins = Twins {
                cells: vec![0; limits.cells],
                key: format!("{number} {algorithm:?}"),
                limits,
            };
            let (mut now, mut last) = (START, false);
            for (pause, cost) in &asked {
                now += pause;
                last = twins.ask(&script, &mut connection, now, *cost)? && *cost > 0;
            }
            // Ours keeps what it has brought up to date also where theirs need not.
            if last {
                now -= back * 500_000;
                twins.ask(&script, &mut connection, now, 1)?;
                twins.ask(&script, &mut connection, now + 1, 2)?;
            }
        }
        Ok(())
    });
    decided.unwrap();
}

#[test]
fn a_bucket_with_a_burst_of_its_own_is_the_same_in_redis() {
    let server = Server::start();
    let (mut connection, script) = (server.connection(), script());
    let limits = limits(Algorithm::TokenBucket, &["3/s"], Some(10), TICKS);
    let mut twins = Twins {
        cells: vec![0; limits.cells],
        key: "bucket".to_owned(),
        limits,
    };
    let mut passed = 0;
    for step in 0..100 {
        let now = START + step * 77_777;
        passed += usize::from(twins.ask(&script, &mut connection, now, 1).unwrap());
    }
    assert_eq!(passed, 10 + 7 * 3);
}
