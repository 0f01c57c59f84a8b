//! What opens the API by the settings alone: the operator's token, and keys that were made
//! elsewhere.

use apflow_model::access::{ADMIN, OPERATOR};
use apflow_model::auth::{ApiKey, twin};
use ring::digest::{SHA256, digest};

type Hash = [u8; 32];

/// The keys of a host.
pub(super) struct Keys(Vec<(Hash, Holder)>);

/// Whoever shows a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) role: String,
}

impl Keys {
    /// The operator's token, what the operator shows on this machine, and these keys.
    ///
    /// # Errors
    ///
    /// When two keys are the same.
    pub(super) fn new(
        admin_token: &str,
        operator_token: &str,
        keys: &[ApiKey],
    ) -> Result<Self, String> {
        if let Some((first, second)) = twin(keys) {
            return Err(format!("the API keys {first} and {second} are the same"));
        }
        let admin = Holder { name: ADMIN.to_owned(), role: ADMIN.to_owned() };
        let operator = Holder { name: OPERATOR.to_owned(), role: ADMIN.to_owned() };
        let own = [(hash(admin_token), admin), (hash(operator_token), operator)];
        let holders = keys.iter().map(|key| {
            let hash = hash(key.token.expose());
            let made_up = || {
                hash[..4].iter().fold("key-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
            };
            let name = key.name.clone().map_or_else(made_up, String::from);
            (hash, Holder { name, role: key.role.clone() })
        });
        Ok(Self(own.into_iter().chain(holders).collect()))
    }

    /// Whoever shows this key. It takes the same time whatever is shown: hashes are compared, each
    /// with all, and to the end.
    pub(super) fn find(&self, text: &str) -> Option<&Holder> {
        let shown = hash(text);
        let mut found = None;
        for (known, holder) in &self.0 {
            if is_same(known, &shown) {
                found = Some(holder);
            }
        }
        found
    }
}

fn hash(text: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Compares in a time that does not depend on what is compared.
fn is_same(left: &Hash, right: &Hash) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use apflow_model::auth::parse_keys;

    use super::*;

    #[test]
    fn only_the_whole_key_opens() {
        let keys = parse_keys("0123456789abcdef:agent").unwrap();
        let keys = Keys::new("apf_admin", "apf_operator", &keys).unwrap();
        let found = |text| keys.find(text).cloned();
        let holder =
            |name: &str, role: &str| Some(Holder { name: name.to_owned(), role: role.to_owned() });
        assert_eq!(found("apf_admin"), holder("admin", "admin"));
        assert_eq!(found("apf_operator"), holder("operator", "admin"));
        // The sha256 of the key begins with 9f9f5111.
        assert_eq!(found("0123456789abcdef"), holder("key-9f9f5111", "agent"));
        for wrong in
            ["", "apf_operato", "apf_operator1", "0123456789ABCDEF", "0123456789abcdef:agent"]
        {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_of_two_is_refused() {
        let keys = parse_keys("0123456789abcdef:agent,0123456789abcdef:admin").unwrap();
        assert!(Keys::new("apf_admin", "apf_operator", &keys).is_err());
    }
}
