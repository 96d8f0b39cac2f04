//! The README against the package: what it lists must be what there is. How it reads is for people to judge.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory as _;
use support::Needs;

support::tests! {
    Needs::NOTHING => [
        the_table_of_dependencies_is_the_manifest,
        the_table_of_verbs_is_the_command_line,
        the_table_of_controls_is_the_built_in_playbook,
        links_to_files_lead_somewhere,
        what_is_compared_is_read,
    ],
}

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_default()
}

/// The direct dependencies that a Cargo.toml names, but for packages of this repository.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if let (true, Some((name, _))) = (inside && !line.contains("path = "), line.split_once('=')) {
            found.insert(name.trim().trim_matches('"').to_owned());
        }
    }
    found
}

/// The words in the first column of the table below `heading`, without code marks.
fn first_column(readme: &str, heading: &str) -> BTreeSet<String> {
    let table = readme.lines().skip_while(|line| *line != heading).skip(1);
    table
        .take_while(|line| !line.starts_with("##"))
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .skip(1)
        .flat_map(|cell| cell.split(", "))
        .map(|word| word.replace('`', ""))
        .collect()
}

fn the_table_of_dependencies_is_the_manifest() {
    let readme = first_column(&text("README.md"), "## Dependencies");
    let all = ["Cargo.toml", "tests/support/Cargo.toml"].map(|manifest| dependencies(&text(manifest)));
    assert_eq!(readme, all.into_iter().flatten().collect());
}

fn the_table_of_verbs_is_the_command_line() {
    let listed: BTreeSet<String> = first_column(&text("README.md"), "### Verbs")
        .iter()
        .filter_map(|cell| cell.split(' ').next().map(str::to_owned))
        // `lab up, down, status, shell` stands in one cell
        .filter(|verb| !["down", "shell"].contains(&verb.as_str()))
        .collect();
    let verbs: BTreeSet<String> = palisade::cli::Cli::command()
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .filter(|verb| verb != "help")
        .collect();
    assert_eq!(listed, verbs);
}

fn the_table_of_controls_is_the_built_in_playbook() {
    let ids: BTreeSet<String> = palisade::playbook::BUILTIN
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_prefix("- id: ").map(str::to_owned))
        .collect();
    assert_eq!(first_column(&text("README.md"), "### Controls"), ids);
}

fn links_to_files_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/safety.md",
        "docs/admin-addresses.md",
        "docs/deviations.md",
    ] {
        let folder = Path::new(page).parent().unwrap_or(Path::new(""));
        for link in
            text(page).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(root.join(folder).join(file).exists(), "{page} links to {link}, which is not there");
        }
    }
}

fn what_is_compared_is_read() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\nb-c = { version = \"2\" }\nown = { path = \"x\" }\n[dev-dependencies]\nd = \"3\"\n[lints]\ne = 1\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["a", "b-c", "d"]);
    let page =
        "# x\n## T\n\n| crate | why |\n|---|---|\n| a, `b-c` | because |\n| d | so |\n## U\n| e | no |\n";
    assert_eq!(first_column(page, "## T").into_iter().collect::<Vec<_>>(), ["a", "b-c", "d"]);
}
