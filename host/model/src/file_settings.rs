//! How much callers may upload: `files` in `config.yaml`.

use serde::Deserialize;

use crate::file::Quota;

/// A TiB, in MiB.
const MIB_MAX: u64 = 1 << 20;

/// How much callers may upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, try_from = "Written")]
pub struct FileSettings {
    /// The most bytes that one file may have.
    pub file_bytes_max: u64,
    /// What the files of one caller may have together.
    pub quota: Quota,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { file_bytes_max: 1 << 30, quota: Quota { files_max: 10_000, bytes_max: 10 << 30 } }
    }
}

/// The settings as an operator writes them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// From 1 to 1,048,576.
    size_mib_max: u64,
    /// From 1 to 1,048,576.
    mib_max_per_principal: u64,
    /// From 1 to 100,000.
    files_max_per_principal: u64,
}

impl Default for Written {
    fn default() -> Self {
        let FileSettings { file_bytes_max, quota } = FileSettings::default();
        Self {
            size_mib_max: file_bytes_max >> 20,
            mib_max_per_principal: quota.bytes_max >> 20,
            files_max_per_principal: quota.files_max,
        }
    }
}

impl TryFrom<Written> for FileSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { size_mib_max, mib_max_per_principal, files_max_per_principal } = written;
        for (name, number, most) in [
            ("size_mib_max", size_mib_max, MIB_MAX),
            ("mib_max_per_principal", mib_max_per_principal, MIB_MAX),
            ("files_max_per_principal", files_max_per_principal, 100_000),
        ] {
            if !(1..=most).contains(&number) {
                return Err(format!("`{name}` is {number}: expected 1 to {most}"));
            }
        }
        let quota =
            Quota { files_max: files_max_per_principal, bytes_max: mib_max_per_principal << 20 };
        Ok(Self { file_bytes_max: size_mib_max << 20, quota })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_usual_and_what_is_out_of_range_is_refused() {
        let read = |text| serde_json::from_str::<FileSettings>(text);
        assert_eq!(read("{}").unwrap(), FileSettings::default());
        let said = read(r#"{"size_mib_max": 2, "files_max_per_principal": 3}"#).unwrap();
        assert_eq!((said.file_bytes_max, said.quota.files_max), (2 << 20, 3));
        assert_eq!(said.quota.bytes_max, FileSettings::default().quota.bytes_max);
        for wrong in
            [r#"{"size_mib_max": 0}"#, r#"{"files_max_per_principal": 100001}"#, r#"{"max": 1}"#]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
