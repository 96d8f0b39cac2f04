//! Resources of all controls as one list: the same resource once, and a contradiction between two controls refused.

use std::collections::HashMap;

use super::{Desired, Unresolved, Wanted};
use crate::domain::{ControlId, HostName, KernelKey, RemotePath};
use crate::kinds::Resource;

/// A desired state that comes to be.
pub(super) struct Gathering {
    pub(super) desired: Desired,
    /// Where each resource stands in it, by its name.
    places: HashMap<String, usize>,
}

impl Gathering {
    pub(super) fn of(host: HostName) -> Self {
        Self { desired: Desired::of(host), places: HashMap::new() }
    }

    /// Adds a resource, or joins it with the same one that another control wants.
    pub(super) fn add(
        &mut self,
        resource: Resource,
        enforced: bool,
        control: &ControlId,
    ) -> Result<(), Unresolved> {
        let name = resource.name();
        let place = self.places.get(&name).copied();
        if let Some(wanted) = place.and_then(|place| self.desired.resources.get_mut(place)) {
            if wanted.resource != resource {
                return Err(Unresolved::Conflict {
                    host: self.desired.host.clone(),
                    first: wanted.controls.first().unwrap_or(control).clone(),
                    second: control.clone(),
                    resource: name,
                });
            }
            wanted.enforced |= enforced;
            if !wanted.controls.contains(control) {
                wanted.controls.push(control.clone());
            }
            return Ok(());
        }
        if let Some((first, key)) = self.contradicted(&resource) {
            return Err(Unresolved::Conflict {
                host: self.desired.host.clone(),
                first,
                second: control.clone(),
                resource: format!("kernel setting {key}"),
            });
        }
        if let Some(first) = self.in_the_place_of(&resource) {
            return Err(Unresolved::Conflict {
                host: self.desired.host.clone(),
                first,
                second: control.clone(),
                resource: name,
            });
        }
        self.places.insert(name, self.desired.resources.len());
        self.desired.resources.push(Wanted { resource, enforced, controls: vec![control.clone()] });
        Ok(())
    }

    /// Whose a resource of another kind is that wants the same path.
    fn in_the_place_of(&self, resource: &Resource) -> Option<ControlId> {
        let place = path(resource)?;
        let known = self.desired.resources.iter().find(|wanted| path(&wanted.resource) == Some(place))?;
        known.controls.first().cloned()
    }

    /// A kernel setting that `resource` wants to be otherwise than a resource of another file, and whose that is.
    fn contradicted(&self, resource: &Resource) -> Option<(ControlId, KernelKey)> {
        let Resource::Sysctl(new) = resource else { return None };
        self.desired.resources.iter().find_map(|wanted| match &wanted.resource {
            Resource::Sysctl(known) => {
                Some((wanted.controls.first()?.clone(), new.contradicted_by(known)?.clone()))
            }
            _ => None,
        })
    }
}

/// Where a file or a secret lies.
fn path(resource: &Resource) -> Option<&RemotePath> {
    match resource {
        Resource::File(file) => Some(&file.path),
        Resource::Secret(secret) => Some(&secret.path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::file::File;
    use crate::kinds::secret::{Held, Secret};
    use crate::kinds::sysctl::Sysctl;

    #[test]
    fn a_file_and_a_secret_are_not_put_in_one_place() {
        let secret = |path: &str| {
            let (name, owner) = ("app-token".parse().unwrap(), "root".parse().unwrap());
            Resource::Secret(Secret { path: path.parse().unwrap(), name, owner, held: Held::default() })
        };
        let control = |id: &str| id.parse::<ControlId>().unwrap();
        let mut gathering = Gathering::of("web-1".parse().unwrap());
        let file = File { path: "/etc/app/token".parse().unwrap(), content: None };
        gathering.add(Resource::File(file), true, &control("one")).unwrap();
        gathering.add(secret("/etc/app/other"), true, &control("two")).unwrap();
        gathering.add(secret("/etc/app/other"), true, &control("three")).unwrap();
        let refused = gathering.add(secret("/etc/app/token"), true, &control("three")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "web-1: one and three want different things of secret /etc/app/token"
        );
    }

    #[test]
    fn two_files_do_not_set_one_kernel_setting_differently() {
        let sysctl = |file: &str, value: &str| {
            let settings = [("kernel.sysrq".parse().unwrap(), value.parse().unwrap())].into();
            Resource::Sysctl(Sysctl { file: file.parse().unwrap(), settings })
        };
        let control = |id: &str| id.parse::<ControlId>().unwrap();
        let mut gathering = Gathering::of("web-1".parse().unwrap());
        gathering.add(sysctl("/etc/sysctl.d/a.conf", "0"), true, &control("one")).unwrap();
        gathering.add(sysctl("/etc/sysctl.d/b.conf", "0"), true, &control("two")).unwrap();
        let refused =
            gathering.add(sysctl("/etc/sysctl.d/c.conf", "1"), true, &control("three")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "web-1: one and three want different things of kernel setting kernel.sysrq"
        );
    }
}
