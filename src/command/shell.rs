//! `palisade completions` and `palisade man`: what a shell and a reader need to know of the command line itself.

use clap::Command;

use crate::failure::Failure;
use crate::ui::Printer;

/// Print a completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade completions bash > /etc/bash_completion.d/palisade\n  \
    palisade completions zsh > \"${fpath[1]}/_palisade\"")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Print the manual page, of palisade or of one verb.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade man | man -l -\n  palisade man apply > palisade-apply.1")]
pub struct ManArgs {
    /// A verb.
    #[arg(value_name = "VERB")]
    verb: Option<String>,
}

/// Runs `completions` for the command line `whole`.
pub fn completions(args: &CompletionsArgs, mut whole: Command, printer: &Printer) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut whole, "palisade", &mut script);
    printer.raw(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Runs `man` for the command line `whole`.
pub fn man(args: &ManArgs, mut whole: Command, printer: &Printer) -> Result<u8, Failure> {
    whole.build();
    let command = match &args.verb {
        None => whole,
        Some(verb) => whole.find_subcommand(verb).cloned().ok_or_else(|| {
            let known = whole.get_subcommands().map(Command::get_name).collect::<Vec<_>>();
            let fix = match crate::text::nearest(verb, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is: {}", known.join(", ")),
            };
            Failure::refused(format!("there is no verb `{}`", crate::text::excerpt(verb, 40))).hint(fix)
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    printer.raw(&String::from_utf8_lossy(&page))?;
    Ok(0)
}
