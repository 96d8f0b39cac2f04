//! What a host runs on: hardware of its own, or a part of somebody's. It asks systemd, the processor and the firmware;
//! none of them can be changed from inside, so there is never a step.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict};
use crate::shell::Perl;
use crate::text::{excerpt, visible};

/// Hardware that nobody else shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Site of the host by the inventory; none on a machine that no inventory declares.
    #[serde(default)]
    pub declared: Option<Site>,
}

/// A place at a provider's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Provider that rents it out.
    pub provider: String,
    /// The provider's name of the data centre.
    pub datacenter: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// What the host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// `systemd-detect-virt --container`: the container that it is, in systemd's word.
    pub container: Option<String>,
    /// `systemd-detect-virt --vm`: the hypervisor below it, in systemd's word.
    pub hypervisor: Option<String>,
    /// Whether the processor says that a hypervisor is there (CPUID 1, ECX bit 31; amd64 only).
    pub announced: bool,
    /// Maker and product, as the firmware has them (SMBIOS); empty where it has none.
    pub product: String,
}

/// Text for the reader that defines `container()`: it says `container WORD`, `none` where there is no container, and nothing
/// where systemd does not run. It reads what systemd wrote down when it began (its container interface), and starts no
/// program for that: several kinds ask.
pub(super) const CONTAINER: &str = include_str!("container.pl");

/// The container that a host said it is, by [`CONTAINER`]; none where it is none.
pub(super) fn container(frame: &Frame) -> Reading<Option<String>> {
    detected(frame, "container")
}

fn detected(frame: &Frame, name: &str) -> Reading<Option<String>> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let word = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match word {
        Some("none") => Ok(None),
        Some(word) if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            Ok(Some(word.to_owned()))
        }
        _ => Err(Unread(format!(
            "systemd does not say whether this is a {name}{}",
            crate::resource::parts::said(&frame.stderr)
        ))),
    }
}

impl Kind for Machine {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "machine", body, seconds: 20, cap: 64 << 10 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        all.iter().map(|_| answer(frame)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let on = if answer.product.is_empty() { String::new() } else { format!(", {}", answer.product) };
        if let Some(container) = &answer.container {
            let below = match &answer.hypervisor {
                Some(hypervisor) => format!(", in a virtual machine ({hypervisor})"),
                None => String::new(),
            };
            return drift(format!("it is a container ({container}) on a kernel that it shares{below}{on}"));
        }
        if let Some(hypervisor) = &answer.hypervisor {
            return drift(format!("it is a virtual machine ({hypervisor}{on})"));
        }
        if answer.announced {
            return drift(format!("its processor announces a hypervisor, which systemd does not know{on}"));
        }
        let mut notes = vec![match answer.product.as_str() {
            "" => "hardware of its own, whose maker the firmware does not name".to_owned(),
            product => format!("hardware of its own: {product}"),
        }];
        notes.extend(self.declared.as_ref().map(|site| {
            let Site { provider, datacenter, country } = site;
            format!("declared at {} in {} ({})", visible(provider), visible(datacenter), visible(country))
        }));
        Verdict::Compliant { notes }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "machine".to_owned()
    }
}

fn drift(finding: String) -> Verdict {
    Verdict::Drift { findings: vec![finding] }
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let announced = match text.lines().find_map(|line| line.strip_prefix("announced ")) {
        Some("yes") => true,
        Some("no") => false,
        _ => return Err(Unread("the host does not say what its processor announces".to_owned())),
    };
    let product: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("product "))
        .map(|value| excerpt(value.trim(), 60))
        .filter(|value| !value.is_empty())
        .collect();
    Ok(Answer {
        container: container(frame)?,
        hypervisor: detected(frame, "hypervisor")?,
        announced,
        product: product.join(" "),
    })
}
