//! The import `dial`: connections by name, which the egress makes and secures.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::bindings::apflow::plugin::dial::{
    Error, Host, HostConnection, Mechanism, SmtpError, SmtpLogin, SmtpReply,
};
use crate::egress::{self, Connection, Login, Unauthenticated, Undialed};
use crate::state::State;

impl Host for State {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
    ) -> Result<Result<Resource<Connection>, Error>> {
        self.stop.check()?;
        let dialed = self.egress.dial(&host, port).await;
        self.keep(dialed)
    }
}

impl HostConnection for State {
    fn streams(
        &mut self,
        connection: Resource<Connection>,
    ) -> Result<Option<(Resource<DynInputStream>, Resource<DynOutputStream>)>> {
        self.stop.check()?;
        let Some((input, output)) = self.table.get_mut(&connection)?.streams() else {
            return Ok(None);
        };
        let input = self.table.push_child(input, &connection)?;
        let output = self.table.push_child(output, &connection)?;
        Ok(Some((input, output)))
    }

    async fn secure(
        &mut self,
        connection: Resource<Connection>,
    ) -> Result<Result<Resource<Connection>, Error>> {
        self.stop.check()?;
        let connection = self.table.delete(connection)?;
        let secured = self.egress.secure(connection).await;
        self.keep(secured)
    }

    async fn authenticate_smtp(
        &mut self,
        connection: Resource<Connection>,
        login: SmtpLogin,
    ) -> Result<Result<Resource<Connection>, SmtpError>> {
        self.stop.check()?;
        let connection = self.table.delete(connection)?;
        let authenticated = self.egress.authenticate(connection, login.into()).await;
        Ok(match authenticated {
            Ok(connection) => Ok(self.table.push(connection)?),
            Err(refused) => Err(refused.into()),
        })
    }

    fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl State {
    fn keep(
        &mut self,
        dialed: Result<Connection, Undialed>,
    ) -> Result<Result<Resource<Connection>, Error>> {
        Ok(match dialed {
            Ok(connection) => Ok(self.table.push(connection)?),
            Err(undialed) => Err(undialed.into()),
        })
    }
}

impl From<Undialed> for Error {
    fn from(undialed: Undialed) -> Self {
        match undialed {
            Undialed::Denied(text) => Self::Denied(text),
            Undialed::Unresolved => Self::Dns,
            // To the guest it is as if nobody answered; its task says why.
            Undialed::Refused | Undialed::Held => Self::Refused,
            Undialed::TimedOut => Self::TimedOut,
            Undialed::Tls(text) => Self::Tls(text),
            Undialed::TooMany(most) => Self::TooMany(most),
        }
    }
}

impl From<SmtpLogin> for Login {
    fn from(login: SmtpLogin) -> Self {
        let SmtpLogin { client, mechanism, user, password } = login;
        let mechanism = mechanism.map(|mechanism| match mechanism {
            Mechanism::Plain => egress::Mechanism::Plain,
            Mechanism::Login => egress::Mechanism::Login,
        });
        Self { client, mechanism, user, password }
    }
}

impl From<Unauthenticated> for SmtpError {
    fn from(refused: Unauthenticated) -> Self {
        match refused {
            Unauthenticated::Denied(text) => Self::Denied(text),
            Unauthenticated::Unavailable(text) => Self::Unavailable(text),
            Unauthenticated::Invalid(text) => Self::Invalid(text),
            Unauthenticated::Unsupported(text) => Self::Unsupported(text),
            Unauthenticated::Rejected { code, text } => Self::Rejected(SmtpReply { code, text }),
            Unauthenticated::Broken(text) => Self::Broken(text),
        }
    }
}
