//! A network of a test's own, on this machine: what crosses it can be made to vanish.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace, joined to this one by a pair of interfaces; taken down when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) name: String,
    /// Its address at the far end, in the namespace.
    pub(crate) far: String,
    /// Its address at this end.
    pub(crate) near: String,
}

impl Network {
    /// None, with a line that says so, without root or the program `ip`.
    pub(crate) fn make() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("flagstaff-{id}-{count}");
        // 198.18.0.0/15 is set aside for tests of networks.
        let (here, there) = (format!("fs{id}a{count}"), format!("fs{id}b{count}"));
        let subnet = format!("198.{}.{}", 18 + count % 2, (id + 97 * count) % 250);
        let (near, far) = (format!("{subnet}.1"), format!("{subnet}.2"));
        if !ip(&["netns", "add", &name]) {
            super::say("skipped: a network of its own needs root and the program `ip` (iproute2)");
            return None;
        }
        let network = Self { name, far, near };
        let made = ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])
            && ip(&["link", "set", &there, "netns", &network.name])
            && ip(&["addr", "add", &format!("{}/24", network.near), "dev", &here])
            && ip(&["link", "set", &here, "up"])
            && network.ip(&["addr", "add", &format!("{}/24", network.far), "dev", &there])
            && network.ip(&["link", "set", &there, "up"]);
        if !made {
            super::say("skipped: a network of its own cannot be made here");
            return None;
        }
        Some(network)
    }

    /// Whether what the far end sends vanishes: connections stay open and silent, new ones get no answer.
    pub(crate) fn set_cut_off(&self, is_cut_off: bool) {
        let change = if is_cut_off { "add" } else { "del" };
        assert!(
            self.ip(&["route", change, "blackhole", &format!("{}/32", self.near)]),
            "the route is {change}ed"
        );
    }

    fn ip(&self, arguments: &[&str]) -> bool {
        ip(&[&["-n", &self.name], arguments].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Its interfaces go with it.
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
