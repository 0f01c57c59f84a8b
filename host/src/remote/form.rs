//! A form of fields and files, as RFC 7578 has it.

/// A form that is being written.
pub(crate) struct Form {
    boundary: String,
    bytes: Vec<u8>,
}

impl Form {
    /// An empty form. `boundary` is a text that is in none of its fields: a random one.
    pub(crate) fn new(boundary: String) -> Self {
        Self { boundary, bytes: Vec::new() }
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.part(name, None, value.as_bytes());
    }

    /// Adds a file, which its client calls `file`.
    pub(crate) fn file(&mut self, name: &str, file: &str, bytes: &[u8]) {
        self.part(name, Some(file), bytes);
    }

    fn part(&mut self, name: &str, file: Option<&str>, bytes: &[u8]) {
        let file = file.map(|file| format!("; filename=\"{}\"", quoted(file))).unwrap_or_default();
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n",
            self.boundary
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Its content type and its bytes.
    pub(super) fn finish(mut self) -> (String, Vec<u8>) {
        self.bytes.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.bytes)
    }
}

/// A name of a file between quotes: RFC 7578 has what would end it escaped, as browsers do.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_part_for_each_field() {
        let mut form = Form::new("edge".to_owned());
        form.text("yes", "true");
        form.file("component", "a \"b\".wasm", b"\0asm");
        let (kind, bytes) = form.finish();
        assert_eq!(kind, "multipart/form-data; boundary=edge");
        let expected = "--edge\r\nContent-Disposition: form-data; name=\"yes\"\r\n\r\ntrue\r\n\
                        --edge\r\nContent-Disposition: form-data; name=\"component\"; \
                        filename=\"a %22b%22.wasm\"\r\n\r\n\0asm\r\n--edge--\r\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
