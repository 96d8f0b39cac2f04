//! What templates of files on a host may use, from the host's scope.

use std::sync::OnceLock;

use crate::domain::{Address, Family, Port, TemplateName};
use crate::kinds::firewall::ruleset::Networks;
use crate::kinds::lockout::{BLOCKED_SECONDS, JOURNAL_MATCH};
use crate::kinds::sshd::Algorithms;
use crate::scope::{Bodies, Scope};
use crate::template::{Context, HostContext, Templates};

/// The bodies of files of one host. What they may use is gathered once, when the first is asked for.
pub(super) struct Rendered<'t> {
    templates: &'t Templates,
    context: OnceLock<Context>,
}

impl<'t> Rendered<'t> {
    /// By these templates.
    pub(super) fn by(templates: &'t Templates) -> Self {
        Self { templates, context: OnceLock::new() }
    }
}

impl Bodies for Rendered<'_> {
    fn body(&self, name: &TemplateName, scope: &Scope<'_>) -> Result<String, String> {
        let context = self.context.get_or_init(|| Templates::context(&context(scope)));
        self.templates.render(name, context).map_err(|error| error.to_string())
    }
}

fn context(scope: &Scope<'_>) -> HostContext {
    let inputs = &scope.inputs;
    let management = Networks::by_family(&scope.management);
    let of = |family: Family| -> Vec<String> {
        let networks = management.iter().filter(|networks| networks.family() == family);
        networks.flat_map(Networks::all).map(ToString::to_string).collect()
    };
    HostContext {
        management4: of(Family::V4),
        management6: of(Family::V6),
        failed_attempts: inputs.fleet.limits.failed_attempts,
        blocked_seconds: BLOCKED_SECONDS,
        journal_match: JOURNAL_MATCH,
        host: inputs.host.name.to_string(),
        environment: inputs.inventory.environment.to_string(),
        distribution: inputs.distribution.to_owned(),
        ssh_port: inputs.host.ssh_port.number(),
        accounts: scope.logins().map(|principal| principal.user.to_string()).collect(),
        forward_to: inputs
            .index
            .behind(&inputs.host.name)
            .iter()
            .filter_map(|host| host.address().map(|address| forward(address, host.ssh_port)))
            .collect(),
        algorithms: Algorithms::of(inputs.distribution),
    }
}

/// An address and port as sshd's `PermitOpen` takes it (`sshd_config(5)`).
fn forward(address: Address, port: Port) -> String {
    match address.family() {
        Family::V4 => format!("{address}:{port}"),
        Family::V6 => format!("[{address}]:{port}"),
    }
}
