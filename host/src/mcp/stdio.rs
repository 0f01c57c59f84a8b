//! MCP on standard input and output, for one client that started this process.

use std::io;

use rmcp::service::{QuitReason, ServerInitializeError};
use rmcp::{ServiceExt, transport};

use super::{Asker, Server, Verbs};

/// Answers the client on standard input until there is no more of it, or `until` is done. Calls that
/// are still waited for then are cancelled with their jobs.
///
/// # Errors
///
/// When standard input or output fails, or what comes is no MCP.
pub(crate) async fn serve(
    verbs: Verbs,
    asker: Asker,
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Server::of(verbs, asker);
    let answering = async {
        let service = match server.clone().serve(transport::stdio()).await {
            Ok(service) => service,
            // Who left before saying anything is done.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        };
        match service.waiting().await {
            Ok(QuitReason::JoinError(error)) | Err(error) => Err(io::Error::other(error)),
            Ok(_) => Ok(()),
        }
    };
    let ended = tokio::select! {
        ended = answering => ended,
        () = until => Ok(()),
    };
    server.stop().await;
    ended
}
