//! How a run is told to end before its time. Whoever catches signals says so here; hosts in the middle of a change are
//! taken back, and nothing new is begun. It catches nothing itself.

use tokio::sync::watch;

/// What is asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Nothing.
    GoOn,
    /// Begin nothing more, take back what is not confirmed, and watch that.
    Stop,
    /// Do not wait for that either: hosts go back by themselves.
    Leave,
}

/// Where it is asked.
#[derive(Debug)]
pub struct Interrupter(watch::Sender<Wish>);

/// Where it is heard.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<Wish>);

impl Interrupter {
    /// A pair.
    pub fn new() -> (Self, Interrupt) {
        let (ask, hear) = watch::channel(Wish::GoOn);
        (Self(ask), Interrupt(hear))
    }

    /// What was asked so far.
    pub fn wish(&self) -> Wish {
        *self.0.borrow()
    }

    /// Asks for more than was asked so far: first to stop, then to leave.
    pub fn press(&self) -> Wish {
        self.0.send_modify(|wish| *wish = if *wish == Wish::GoOn { Wish::Stop } else { Wish::Leave });
        *self.0.borrow()
    }
}

impl Interrupt {
    /// One that nobody asks anything of.
    pub fn never() -> Self {
        Interrupter::new().1
    }

    /// Whether at least this is asked.
    pub fn is(&self, wish: Wish) -> bool {
        *self.0.borrow() >= wish
    }

    /// Waits until at least this is asked.
    pub async fn asked(&self, wish: Wish) {
        let mut hear = self.0.clone();
        let asked = hear.wait_for(|asked| *asked >= wish).await.is_ok();
        if !asked {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pressed_once_it_stops_and_twice_it_leaves() {
        let (interrupter, interrupt) = Interrupter::new();
        assert!(!interrupt.is(Wish::Stop));
        assert_eq!(interrupter.press(), Wish::Stop);
        interrupt.asked(Wish::Stop).await;
        assert!(!interrupt.is(Wish::Leave));
        assert_eq!(interrupter.press(), Wish::Leave);
        assert_eq!(interrupter.press(), Wish::Leave);
        drop(interrupter);
        interrupt.asked(Wish::Leave).await;
    }

    #[tokio::test]
    async fn nobody_asks_never() {
        let waited = tokio::time::timeout(std::time::Duration::from_millis(10), async {
            Interrupt::never().asked(Wish::Stop).await;
        });
        assert!(waited.await.is_err());
    }
}
