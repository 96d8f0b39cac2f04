//! Many hosts asked the same, once each: one connection and one exec for a host, as root, on the machine that was enrolled.
//! Nothing is changed; what the answers mean is for whoever asks to say.

use std::time::Duration;

use futures::StreamExt as _;

use crate::domain::HostName;
use crate::event::Event;
use crate::fleet::{Job, Run, nonce};
use crate::probe::{self, Facts};
use crate::shell::{self, Frame, Nonce, Output, Question, Script};
use crate::transport::{Bounds, Entry};

/// How much longer than its own bounds the host gets, so that it says itself that it ran out of time.
const BEYOND: Duration = Duration::from_mins(1);

/// What a host answered.
pub(in crate::fleet) struct Answer<'a> {
    /// Of the machine that was enrolled.
    pub(in crate::fleet) facts: Facts,
    nonce: &'a Nonce,
    output: &'a Output,
}

impl Answer<'_> {
    /// The answer to one of the questions.
    pub(in crate::fleet) fn to(&self, question: &Question) -> Result<Frame, String> {
        shell::frame(self.output, self.nonce, question).map_err(|error| error.to_string())
    }
}

impl Run {
    /// What `read` makes of each host's answers to `questions`, in the order of `jobs`; or why there is nothing to read.
    /// `told` says it in a line, for whoever watches.
    pub(in crate::fleet) async fn ask_each<T>(
        &self,
        jobs: &[Job],
        questions: &[Question],
        read: impl Fn(&Answer<'_>) -> Result<T, String>,
        told: impl Fn(&T) -> String,
    ) -> Vec<(HostName, Result<T, String>)> {
        let mut all: Vec<(usize, HostName, Result<T, String>)> =
            futures::stream::iter(jobs.iter().enumerate())
                .map(|(place, job)| {
                    let (read, told) = (&read, &told);
                    async move {
                        let host = job.desired.host.clone();
                        self.emit(Event::Asking { host: host.clone() });
                        let answer = self.ask_one(job, questions, read).await;
                        let (summary, good) = match &answer {
                            Ok(answer) => (told(answer), true),
                            Err(reason) => (reason.clone(), false),
                        };
                        self.emit(Event::Asked { host: host.clone(), summary, good });
                        (place, host, answer)
                    }
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, answer)| (host, answer)).collect()
    }

    async fn ask_one<T>(
        &self,
        job: &Job,
        questions: &[Question],
        read: &impl Fn(&Answer<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let host = &job.desired.host;
        let session = self.connector.connect(&job.target).await.map_err(|error| error.about(host))?;
        let nonce = nonce();
        let facts = probe::facts_question();
        let all: Vec<&Question> = std::iter::once(&facts).chain(questions).collect();
        let bounds = Bounds {
            deadline: all
                .iter()
                .map(|question| Duration::from_secs(question.seconds.into()))
                .sum::<Duration>()
                + BEYOND,
            bytes: all.iter().map(|question| question.cap).sum::<usize>().saturating_mul(2),
        };
        let answer = session.run(&Script::new().framed(&nonce, all), Entry::Root, bounds).await;
        session.close().await;
        let output = answer.map_err(|error| error.about(host))?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
        if let Some(why) = job.identity_mismatch(&facts) {
            return Err(why);
        }
        if facts.uid != 0 {
            return Err("sudo did not make us root there".to_owned());
        }
        read(&Answer { facts, nonce: &nonce, output: &output })
    }
}
