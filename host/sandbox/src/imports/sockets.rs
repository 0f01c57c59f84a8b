//! The imports of `wasi:sockets`: TCP by address as far as it is granted, and nothing else.
//!
//! A standard library imports name lookups and UDP beside TCP, so they are there to be refused.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, LinkOptions, Network,
};
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket,
};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use crate::state::State;

/// Links raw sockets.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    let options = LinkOptions::default();
    network::add_to_linker::<State, WasiSockets>(linker, &options, State::sockets)?;
    instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    tcp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    udp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    ip_name_lookup::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    // These would refuse as well, but tell nobody.
    linker.allow_shadowing(true);
    linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?.func_wrap(
        "resolve-addresses",
        |store: StoreContextMut<'_, State>, (_, name): (Resource<Network>, String)| {
            store.data().egress.deny(&format_args!(
                "looking up `{name}` was refused: raw sockets know addresses alone, and names are \
                 for `apflow:plugin/dial`"
            ));
            Ok((Err::<Resource<ip_name_lookup::ResolveAddressStream>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap(
        "create-udp-socket",
        |store: StoreContextMut<'_, State>, _: (IpAddressFamily,)| {
            store.data().egress.deny("a socket for UDP was refused: raw sockets are for TCP alone");
            Ok((Err::<Resource<udp::UdpSocket>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
