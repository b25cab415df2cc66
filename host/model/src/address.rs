//! Which addresses are not of the public internet: what names somebody else gives must not lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address lies inside: loopback, private, link-local, carrier-grade NAT or otherwise not of the public internet.
pub fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a, b, c) == (192, 0, 0)
                || a == 0
                || a >= 240
        }
        IpAddr::V6(v6) => match behind(v6) {
            Some(v4) => is_inside(IpAddr::V4(v4)),
            None => {
                v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    // Once site-local, for documents, and for translation within a network.
                    || matches!(v6.segments(), [0xfec0..=0xfeff, ..] | [0x2001, 0xdb8, ..] | [0x64, 0xff9b, 1, ..])
            }
        },
    }
}

/// The address of IPv4 that one of IPv6 leads to: mapped (::ffff:0:0/96), its old form, where :: and ::1 are too, behind a
/// translator (64:ff9b::/96), or by 6to4 (2002::/16).
fn behind(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |bits: u128| u32::try_from(bits & 0xffff_ffff).ok().map(Ipv4Addr::from_bits);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => last(v6.to_bits()),
        [0x2002, ..] => last(v6.to_bits() >> 80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_known() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::",
            "::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "fec0::1",
            "2001:db8::1",
            "192.0.0.192",
            "198.18.0.1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for public in [
            "93.184.216.34",
            "64:ff9b::93.184.216.34",
            "2002:5db8:d822::1",
            "192.0.1.1",
            "198.20.0.1",
        ] {
            assert!(!is_inside(public.parse().unwrap()), "{public}");
        }
        assert!(!is_inside("2606:2800:220:1::1".parse().unwrap()));
    }
}
