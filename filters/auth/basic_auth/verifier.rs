//! Verifies passwords beside the traffic, a few at a time, and remembers who was let in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use argon2::password_hash::generate_salt;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::password;
use super::users::Known;

/// How long who was let in needs no other verification.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many verifications may wait for each that runs.
const WAITING: usize = 16;
/// How long one may wait for its turn.
const TURN: Duration = Duration::from_secs(5);
const PARTS: usize = 16;
const REMEMBERED_PER_PART: usize = 512;

/// Why a password was not verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// Too many others are waiting, or its turn did not come in time.
    Busy,
    /// The verification broke down.
    Failed,
}

/// Room for verifications, which all filters share.
pub(super) struct Room {
    /// Those who run or wait.
    admitted: Semaphore,
    /// Those who run.
    running: Arc<Semaphore>,
    /// How long one may wait for its turn.
    patience: Duration,
}

impl Room {
    pub(super) fn new() -> Self {
        Self::of(available_parallelism().map_or(1, usize::from), TURN)
    }

    /// For this many verifications at a time.
    fn of(running: usize, patience: Duration) -> Self {
        Self {
            admitted: Semaphore::new(running * (1 + WAITING)),
            running: Arc::new(Semaphore::new(running)),
            patience,
        }
    }
}

/// Verifies passwords. Outlives reloads: whose password is another one is verified anew.
pub(super) struct Verifier {
    /// What nobody else knows, so that what is remembered tells no password.
    pepper: [u8; 32],
    remembered: [Mutex<HashMap<Ticket, Instant>>; PARTS],
    room: Arc<Room>,
}

/// A digest of a user, the form its password is kept in, and the password that came.
type Ticket = [u8; 32];

impl Verifier {
    pub(super) fn new(room: Arc<Room>) -> Self {
        let mut pepper = [0; 32];
        pepper[..16].copy_from_slice(&generate_salt());
        pepper[16..].copy_from_slice(&generate_salt());
        Self {
            pepper,
            remembered: Default::default(),
            room,
        }
    }

    /// Whether the password is that of the user, and the user known. An unknown user's password
    /// is verified as well, for the time that it takes.
    pub(super) async fn verify(
        &self,
        user: &Arc<Known>,
        is_known: bool,
        credentials: &Credentials,
        now: Instant,
    ) -> Result<bool, Unverified> {
        if !password::is_slow(&user.password) {
            return Ok(password::is(&user.password, &credentials.password) && is_known);
        }
        let ticket = self.ticket(user, credentials);
        // Who is unknown now may have been known by another configuration.
        if is_known && self.remembers(&ticket, now) {
            return Ok(true);
        }
        let admitted = self.room.admitted.try_acquire();
        let _admitted = admitted.map_err(|_| Unverified::Busy)?;
        let turn = timeout(
            self.room.patience,
            self.room.running.clone().acquire_owned(),
        )
        .await;
        let running = turn.map_err(|_| Unverified::Busy)?;
        // Whoever sent several requests at once has been verified by now.
        if is_known && self.remembers(&ticket, now) {
            return Ok(true);
        }
        let (verified, candidate) = (user.clone(), credentials.password.clone());
        let is_right = spawn_blocking(move || {
            // Held until this is over, even when the client has long left.
            let _running = running;
            password::is(&verified.password, &candidate)
        });
        let is_right = is_right.await.map_err(|_| Unverified::Failed)?;
        if is_right && is_known {
            self.remember(ticket, now);
        }
        Ok(is_right && is_known)
    }

    fn ticket(&self, user: &Known, credentials: &Credentials) -> Ticket {
        // All but the last are of one length or tell theirs, so no two tickets are made alike.
        let mut digest = Sha256::new_with_prefix(self.pepper);
        let kept = password::kept(&user.password);
        digest.update(kept.len().to_le_bytes());
        digest.update(kept);
        digest.update(credentials.name.len().to_le_bytes());
        digest.update(&credentials.name);
        digest.update(&credentials.password);
        digest.finalize().into()
    }

    fn part(&self, ticket: &Ticket) -> &Mutex<HashMap<Ticket, Instant>> {
        &self.remembered[usize::from(ticket[0]) % PARTS]
    }

    fn remembers(&self, ticket: &Ticket, now: Instant) -> bool {
        let part = self.part(ticket).lock();
        let part = part.unwrap_or_else(PoisonError::into_inner);
        part.get(ticket).is_some_and(|until| now < *until)
    }

    fn remember(&self, ticket: Ticket, now: Instant) {
        let part = self.part(&ticket).lock();
        let mut part = part.unwrap_or_else(PoisonError::into_inner);
        if part.len() >= REMEMBERED_PER_PART {
            part.retain(|_, until| now < *until);
        }
        if part.len() >= REMEMBERED_PER_PART {
            // One of them is verified again; which one does not matter.
            let other = part.keys().next().copied().expect("it is full");
            part.remove(&other);
        }
        part.insert(ticket, now + REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::task::JoinSet;
    use tokio::task::yield_now;

    use super::*;

    fn verifier() -> Verifier {
        Verifier::new(Arc::new(Room::of(1, TURN)))
    }

    fn user(password: &str) -> Arc<Known> {
        let hash = bcrypt::hash(password, 4).unwrap();
        Arc::new(Known {
            identity: Arc::default(),
            password: password::hash(&hash).unwrap(),
        })
    }

    fn credentials(password: &str) -> Credentials {
        Credentials {
            name: "ann".into(),
            password: password.into(),
        }
    }

    #[tokio::test]
    async fn remembers_for_a_minute_who_was_let_in() {
        let verifier = verifier();
        let (user, right) = (user("right"), credentials("right"));
        let now = Instant::now();
        assert_eq!(verifier.verify(&user, true, &right, now).await, Ok(true));
        let ticket = verifier.ticket(&user, &right);
        assert!(verifier.remembers(&ticket, now + Duration::from_millis(59_999)));
        assert!(!verifier.remembers(&ticket, now + REMEMBERED));
    }

    #[tokio::test]
    async fn remembers_neither_the_wrong_nor_the_unknown() {
        let verifier = verifier();
        let (user, now) = (user("right"), Instant::now());
        for (is_known, password) in [(true, "wrong"), (false, "right"), (false, "wrong")] {
            let brought = credentials(password);
            let verified = verifier.verify(&user, is_known, &brought, now).await;
            assert_eq!(verified, Ok(false));
            assert!(!verifier.remembers(&verifier.ticket(&user, &brought), now));
        }
    }

    impl Verifier {
        pub(in super::super) fn shares_room_with(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.room, &other.room)
        }
    }

    #[tokio::test]
    async fn the_unknown_are_verified_even_where_they_are_remembered() {
        let verifier = verifier();
        let (user, right) = (user("right"), credentials("right"));
        let now = Instant::now();
        assert_eq!(verifier.verify(&user, true, &right, now).await, Ok(true));
        assert_eq!(verifier.verify(&user, false, &right, now).await, Ok(false));
    }

    #[tokio::test]
    async fn two_filters_wait_for_each_other() {
        let room = Arc::new(Room::of(1, TURN));
        let (one, other) = (Verifier::new(room.clone()), Verifier::new(room.clone()));
        let held = room.running.clone().acquire_owned().await.unwrap();
        let (user, right) = (user("right"), credentials("right"));
        let mut waiting = [&one, &other]
            .map(|verifier| Box::pin(verifier.verify(&user, true, &right, Instant::now())));
        for one in &mut waiting {
            let polled = poll_fn(|cx| Poll::Ready(one.as_mut().poll(cx).is_pending()));
            assert!(polled.await);
        }
        assert_eq!(room.admitted.available_permits(), WAITING - 1);
        drop(held);
        for one in waiting {
            assert_eq!(one.await, Ok(true));
        }
    }

    #[test]
    fn a_ticket_is_of_one_user_one_hash_and_one_password() {
        let verifier = verifier();
        let user_a = user("right");
        let ticket = verifier.ticket(&user_a, &credentials("right"));
        assert_eq!(ticket, verifier.ticket(&user_a, &credentials("right")));
        assert_ne!(
            ticket,
            verifier.ticket(&user("right"), &credentials("right"))
        );
        assert_ne!(ticket, verifier.ticket(&user_a, &credentials("righT")));
        let shifted = Credentials {
            name: "annr".into(),
            password: "ight".into(),
        };
        assert_ne!(ticket, verifier.ticket(&user_a, &shifted));
        let other = Verifier::new(Arc::new(Room::of(1, TURN)));
        assert_ne!(ticket, other.ticket(&user_a, &credentials("right")));
    }

    #[tokio::test]
    async fn refuses_those_for_whom_there_is_no_room() {
        let verifier = Arc::new(verifier());
        let user = user("right");
        let held = verifier.room.running.clone().acquire_owned().await.unwrap();
        let mut waiting = JoinSet::new();
        for number in 0..=WAITING {
            let (verifier, user) = (verifier.clone(), user.clone());
            let brought = credentials(if number == 0 { "right" } else { "wrong" });
            waiting
                .spawn(async move { verifier.verify(&user, true, &brought, Instant::now()).await });
        }
        while verifier.room.admitted.available_permits() > 0 {
            yield_now().await;
        }
        let right = credentials("right");
        let one_more = verifier.verify(&user, true, &right, Instant::now());
        assert_eq!(one_more.await, Err(Unverified::Busy));
        drop(held);
        let verified = waiting.join_all().await;
        assert_eq!(
            verified
                .iter()
                .filter(|result| **result == Ok(true))
                .count(),
            1
        );
        assert_eq!(
            verified
                .iter()
                .filter(|result| **result == Ok(false))
                .count(),
            WAITING
        );
        let again = verifier.verify(&user, true, &right, Instant::now());
        assert_eq!(again.await, Ok(true));
    }

    #[tokio::test]
    async fn refuses_those_whose_turn_does_not_come() {
        let room = Arc::new(Room::of(1, Duration::from_millis(10)));
        let verifier = Verifier::new(room.clone());
        let (user, right) = (user("right"), credentials("right"));
        let held = room.running.clone().acquire_owned().await.unwrap();
        let verified = verifier.verify(&user, true, &right, Instant::now());
        assert_eq!(verified.await, Err(Unverified::Busy));
        drop(held);
        let verified = verifier.verify(&user, true, &right, Instant::now());
        assert_eq!(verified.await, Ok(true));
        assert_eq!(room.admitted.available_permits(), 1 + WAITING);
    }

    #[tokio::test]
    async fn who_waits_profits_from_another_request_of_the_same_user() {
        let verifier = Arc::new(verifier());
        let (user, now) = (user("right"), Instant::now());
        let held = verifier.room.running.clone().acquire_owned().await.unwrap();
        let waiting = {
            let (verifier, user) = (verifier.clone(), user.clone());
            tokio::spawn(async move {
                verifier
                    .verify(&user, true, &credentials("other"), now)
                    .await
            })
        };
        while verifier.room.admitted.available_permits() > WAITING {
            yield_now().await;
        }
        // As if that request had brought the right password: it is not verified once more.
        verifier.remember(verifier.ticket(&user, &credentials("other")), now);
        drop(held);
        assert_eq!(waiting.await.unwrap(), Ok(true));
    }

    #[test]
    fn a_client_that_leaves_makes_room_only_when_its_verification_is_over() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).enable_time();
        let runtime = runtime.build().unwrap();
        runtime.block_on(async {
            let verifier = Arc::new(verifier());
            let user = user("right");
            // The one thread that verifies is busy until it is told to go on.
            let (go_on, told) = std::sync::mpsc::channel::<()>();
            spawn_blocking(move || told.recv().is_err());
            {
                let brought = credentials("wrong");
                let mut left = Box::pin(verifier.verify(&user, true, &brought, Instant::now()));
                let polled = poll_fn(|cx| Poll::Ready(left.as_mut().poll(cx).is_pending()));
                assert!(polled.await);
            }
            assert_eq!(verifier.room.admitted.available_permits(), 1 + WAITING);
            assert_eq!(verifier.room.running.available_permits(), 0);
            drop(go_on);
            let right = credentials("right");
            let next = verifier.verify(&user, true, &right, Instant::now());
            assert_eq!(next.await, Ok(true));
            assert_eq!(verifier.room.running.available_permits(), 1);
        });
    }

    #[test]
    fn remembers_no_more_than_it_has_room_for() {
        let verifier = verifier();
        let now = Instant::now();
        let ticket = |number: u32| -> Ticket { Sha256::digest(number.to_le_bytes()).into() };
        for number in 0..20_000 {
            verifier.remember(ticket(number), now);
            assert!(verifier.remembers(&ticket(number), now));
        }
        let parts = verifier.remembered.iter();
        let remembered: usize = parts.map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(remembered, PARTS * REMEMBERED_PER_PART);
        verifier.remember(ticket(20_000), now + REMEMBERED);
        let part = verifier.part(&ticket(20_000)).lock().unwrap();
        assert_eq!(part.len(), 1);
    }
}
