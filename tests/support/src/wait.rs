//! Waiting for events. A bound is there to end a test that hangs, never to measure: it is minutes, and whoever reaches it
//! says what was seen.

use std::time::{Duration, Instant};

/// Far more than anything takes, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until it `is` so.
pub fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    wait_until(what, || if is() { Ok(()) } else { Err(String::new()) });
}

/// Waits until `look` finds it; its last word is in the failure.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(
                begun.elapsed() < PATIENCE,
                "waited {} min in vain for: {what}\nseen last: {seen}",
                PATIENCE.as_secs() / 60
            ),
        }
        std::thread::sleep(LOOK);
    }
}

/// The same as [`wait_for`], where what `tell` finds out is worth knowing once it was in vain, and costs too much to be
/// asked for each time.
pub fn wait_telling(what: &str, mut is: impl FnMut() -> bool, tell: impl FnOnce() -> String) {
    let begun = Instant::now();
    while !is() {
        assert!(
            begun.elapsed() < PATIENCE,
            "waited {} min in vain for: {what}\n{}",
            PATIENCE.as_secs() / 60,
            tell()
        );
        std::thread::sleep(LOOK);
    }
}
