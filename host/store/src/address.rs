//! Where a database is: a file, or a server.
//!
//! It opens nothing, and never shows a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// Where a database is.
///
/// # Examples
///
/// ```
/// use apflow_store::Address;
///
/// let server: Address = "postgres://ada:secret@db.example:5433/jobs".parse()?;
/// assert_eq!(server.to_string(), "postgres://ada@db.example:5433/jobs");
/// let file: Address = "sqlite:///srv/apflow/jobs.db".parse()?;
/// assert_eq!(file.to_string(), "/srv/apflow/jobs.db");
/// # Ok::<(), apflow_store::AddressError>(())
/// ```
#[derive(Clone)]
pub enum Address {
    /// `SQLite`, in this file.
    File(PathBuf),
    /// A `PostgreSQL` server.
    Server(Server),
}

/// How to reach a server and its database.
#[derive(Clone)]
pub struct Server {
    options: Box<PgConnectOptions>,
}

/// Why a text is not the address of a database. It never holds the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: write `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `sqlite://PATH`; in a user, \
     password or database, write `%40` for `@`, `%2F` for `/`, `%23` for `#` and `%25` for `%`"
)]
pub struct AddressError {
    what: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let fault = |what: String| Err(AddressError { what });
        let Some((scheme, rest)) = url.split_once(':') else {
            return fault("it names no kind of database".to_owned());
        };
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.contains(['?', '\0']) || path.starts_with(':') {
                    return fault("`sqlite:` is followed by the path of a file alone".to_owned());
                }
                Ok(Self::File(PathBuf::from(path)))
            }
            "postgres" | "postgresql" => match url.parse::<PgConnectOptions>() {
                Ok(options) if rest.starts_with("//") => Ok(Self::Server(Server {
                    // Whatever the server's default is: what was answered is durable.
                    options: Box::new(
                        options
                            .application_name("apflow-host")
                            .options([("synchronous_commit", "on")])
                            .disable_statement_logging(),
                    ),
                })),
                Ok(_) => fault("`postgres:` is followed by `//`".to_owned()),
                Err(sqlx::Error::Configuration(error)) => fault(error.to_string()),
                Err(_) => fault("it cannot be read".to_owned()),
            },
            _ => fault("it names neither PostgreSQL nor SQLite".to_owned()),
        }
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl Server {
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        write!(f, "postgres://{}@", options.get_username())?;
        match options.get_socket() {
            Some(socket) => write!(f, "{}", socket.display())?,
            None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
        }
        write!(f, "/{}", options.get_database().unwrap_or(options.get_username()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<String, String> {
        let shown = |address: Address| address.to_string();
        url.parse().map(shown).map_err(|error: AddressError| error.to_string())
    }

    #[test]
    fn a_file_is_named_by_its_path() {
        assert_eq!(read("sqlite:///srv/a.db").unwrap(), "/srv/a.db");
        assert_eq!(read("sqlite://a.db").unwrap(), "a.db");
        assert_eq!(read("sqlite:a.db").unwrap(), "a.db");
    }

    #[test]
    fn a_server_is_shown_without_its_password() {
        let url = "postgresql://ada:s%40cret@db.example/jobs?sslmode=disable";
        assert_eq!(read(url).unwrap(), "postgres://ada@db.example:5432/jobs");
        assert_eq!(
            read("postgres://ada@localhost/jobs?host=/run/pg").unwrap(),
            "postgres://ada@/run/pg/jobs"
        );
        assert_eq!(
            format!("{:?}", url.parse::<Address>().unwrap()),
            "Address(postgres://ada@db.example:5432/jobs)"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for url in [
            "",
            "jobs.db",
            "mysql://ada:secret@host/db",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "postgres:secret",
            "postgres://ada:sec#ret@host:x/db",
            "postgres://ada:secret@host:99999/db",
            "postgres://ada@host/db?sslmode=secret1",
        ] {
            let refused = read(url).unwrap_err();
            assert!(refused.contains("sqlite://PATH"), "{refused}");
            let repeats = refused.contains("secret") && !refused.contains("secret1");
            assert!(!repeats, "{refused}");
        }
    }
}
