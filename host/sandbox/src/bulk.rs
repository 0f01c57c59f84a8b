//! How large a component and its functions may be, looked at before anything is compiled.
//!
//! It reads the frame of the component only, in a time that grows with its length.

use wasmparser::{Parser, Payload};

use crate::error::SandboxError;

/// The most bytes of a component.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// The most bytes of one function. The time to compile one grows with the square of its length;
/// the largest of real programs, such as interpreters, have some 100 KiB.
pub(crate) const FUNCTION_BYTES_MAX: u64 = 1 << 20;

/// Refuses a component that is too large, or has too large a function.
pub(crate) fn check(component: &[u8]) -> Result<(), SandboxError> {
    let bytes = component.len() as u64;
    if bytes > COMPONENT_BYTES_MAX {
        return Err(SandboxError::TooLarge { bytes, bytes_max: COMPONENT_BYTES_MAX });
    }
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| SandboxError::InvalidComponent(error.to_string()))?;
        if let Payload::CodeSectionEntry(body) = payload {
            let bytes = body.range().len() as u64;
            if bytes > FUNCTION_BYTES_MAX {
                let bytes_max = FUNCTION_BYTES_MAX;
                return Err(SandboxError::FunctionTooLarge { bytes, bytes_max });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn functions_have_a_largest_size() {
        // Each of these takes three bytes.
        let of = |count: usize| {
            check(&fixture::command(&("(drop (i32.const 0))".repeat(count) + "i32.const 0")))
        };
        let most = usize::try_from(FUNCTION_BYTES_MAX / 3).unwrap();
        assert!(of(most - 10).is_ok());
        let text = of(most).unwrap_err().to_string();
        assert!(text.contains("a function may have at most 1 MiB"), "{text}");
    }

    #[test]
    fn components_have_a_largest_size() {
        let bytes = usize::try_from(COMPONENT_BYTES_MAX).unwrap() + 1;
        let text = check(&vec![0; bytes]).unwrap_err().to_string();
        assert!(text.contains("at most 64 MiB"), "{text}");
    }

    #[test]
    fn bytes_that_are_no_component_are_refused() {
        assert!(matches!(check(b"\0asm\x0d\0\x01\0\xff"), Err(SandboxError::InvalidComponent(_))));
    }
}
