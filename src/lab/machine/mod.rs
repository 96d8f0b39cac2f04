//! Virtual machines: what they are made of. Their disks are images of a root that is made as the containers' is, with a
//! kernel and an initramfs of their own; qemu and its tools lie in a root of the lab's own, whatever packages this
//! machine has or cannot have. How one is kept running is `supervise.sh`'s, how it is spoken to [`super::agent`]'s.

mod accelerator;
mod image;
pub(super) mod warm;

pub(super) use accelerator::Accelerator;
pub(super) use image::{
    INCLUDED, PACKAGES, SUPERVISE, TOOLS, TOOLS_SUITE, disks, make_disks, recipe, tools_key, unsupported,
};
