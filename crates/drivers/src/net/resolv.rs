//! Which DNS servers this machine asks.

use super::SystemNet;
use safelight_engine::driver::net::NetError;
use std::net::{IpAddr, SocketAddr};

impl SystemNet {
    /// The servers of /etc/resolv.conf, or those that were set in its place.
    pub(super) fn own_resolvers(&self) -> Result<Vec<SocketAddr>, NetError> {
        if !self.resolvers.is_empty() {
            return Ok(self.resolvers.clone());
        }
        let file = self.resolv_conf.display();
        let text = std::fs::read(&self.resolv_conf)
            .map_err(|e| NetError::Unreachable(format!("{file} cannot be read: {e}")))?;
        let parsed = resolv_conf::Config::parse(&text)
            .map_err(|e| NetError::Unreachable(format!("{file} cannot be understood: {e}")))?;
        let servers: Vec<SocketAddr> =
            parsed.nameservers.iter().map(|n| SocketAddr::new(IpAddr::from(n), 53)).collect();
        if servers.is_empty() {
            return Err(NetError::Unreachable(format!("{file} names no server")));
        }
        Ok(servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_both_families_are_read_and_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        let net = SystemNet::new().with_resolv_conf(&file);
        assert!(matches!(net.own_resolvers(), Err(NetError::Unreachable(_))));
        std::fs::write(&file, "# x\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions edns0\n")
            .unwrap();
        let servers: Vec<String> = net.own_resolvers().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53"]);
        std::fs::write(&file, "search example.com\n").unwrap();
        let e = net.own_resolvers().unwrap_err().to_string();
        assert!(e.contains("names no server"), "{e}");
    }
}
