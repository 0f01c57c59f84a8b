//! What raw sockets may do: connect to granted addresses. They know no names, and nobody listens.

use std::net::SocketAddr;

use apflow_model::capability::Scope;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Egress;

/// Opens raw sockets as far as they are granted.
pub(crate) fn open(builder: &mut WasiCtxBuilder, egress: &Egress) {
    let egress = egress.clone();
    builder.allow_tcp(true).socket_addr_check(move |address, usage| {
        Box::pin(std::future::ready(egress.admit_socket(address, usage)))
    });
}

/// Whether the plugin asks for any raw socket.
pub(crate) fn are_asked(scope: &Scope) -> bool {
    !scope.asked.sockets.is_empty()
}

impl Egress {
    fn admit_socket(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        if self.stop.reason().is_some() {
            return false;
        }
        match usage {
            // Every connect begins with this one: any port of any own address.
            SocketAddrUse::TcpBind if address.ip().is_unspecified() && address.port() == 0 => true,
            SocketAddrUse::TcpConnect => match self.scope.admit_socket(address) {
                Ok(()) => self.count_connection().is_ok(),
                Err(denial) => {
                    self.deny(&denial);
                    false
                }
            },
            SocketAddrUse::TcpBind
            | SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::UdpBind
            | SocketAddrUse::UdpSend
            | SocketAddrUse::UdpReceive => {
                self.deny(&format_args!(
                    "a socket at {address} of its own was refused: plugins connect, and do not \
                     listen"
                ));
                false
            }
        }
    }
}
