//! What a registry has under a name: the manifest of an image, or an index of several, as the OCI image
//! specification writes them.
//!
//! It says which bytes a plugin is made of. It gets none of them.

use std::collections::BTreeMap;

use apflow_model::plugin::Digest;
use apflow_model::validate::MANIFEST_BYTES_MAX;
use serde::Deserialize;

use super::name::digest;

/// What a manifest or an index may be, for a registry that has several.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
/// The kinds of a layer that is a component.
const COMPONENTS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// The files that say what a component is, and the kinds of a layer that is one.
const DEFINITIONS: [(&str, &str); 2] = [
    ("plugin.yaml", "application/vnd.apflow.plugin.v1+yaml"),
    ("tool.yaml", "application/vnd.apflow.tool.v1+yaml"),
];
/// The annotation of a layer that is the name of its file.
const TITLE: &str = "org.opencontainers.image.title";
/// The longest title that is used, in bytes.
const TITLE_BYTES_MAX: usize = 128;
/// The architecture of an image for this host, in an index.
const ARCHITECTURE: &str = "wasm";
/// The most bytes of a component, as the sandbox has it.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// What a registry has under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// An image.
    Image(Layers),
    /// An index whose image for this host has a manifest with this digest.
    Index(Digest),
}

/// What a plugin is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// Its `plugin.yaml` or `tool.yaml`.
    pub(super) definition: Option<Layer>,
    /// Components, of which its definition names one.
    pub(super) components: Vec<Layer>,
}

/// Bytes that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// The name of the file.
    pub(super) title: String,
    /// What they are called in the registry.
    pub(super) digest: Digest,
    /// How many they are.
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

/// What is wrong with what a registry has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not written as a registry writes it.
    Foreign,
    /// It is no plugin.
    Invalid(String),
}

impl Document {
    /// Reads it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let written: Written = serde_json::from_slice(bytes).map_err(|_| Fault::Foreign)?;
        if written.schema_version != 2 {
            let version = written.schema_version;
            return Err(invalid(format!("its manifest is of version {version}, and not of 2")));
        }
        match written.manifests {
            Some(images) => choose(&images).map(Self::Index),
            None => Layers::of(&written.layers).map(Self::Image),
        }
    }
}

/// The image of an index that is for this host: the one of WebAssembly, or the only one.
fn choose(images: &[Descriptor]) -> Result<Digest, Fault> {
    let is_ours = |image: &&Descriptor| {
        image.platform.as_ref().is_some_and(|platform| platform.architecture == ARCHITECTURE)
    };
    let ours: Vec<_> = images.iter().filter(is_ours).collect();
    match (&ours[..], images) {
        ([image], _) => read_digest(image),
        ([], [image]) if image.platform.is_none() => read_digest(image),
        (ours, _) => Err(invalid(format!(
            "it is an index of {} images, of which {} are for the architecture `{ARCHITECTURE}`: \
             name one by its digest",
            images.len(),
            ours.len(),
        ))),
    }
}

impl Layers {
    fn of(layers: &[Descriptor]) -> Result<Self, Fault> {
        let (mut definitions, mut components) = (Vec::new(), Vec::new());
        for layer in layers {
            if let Some(name) = layer.definition() {
                definitions.push(layer.sized(name, MANIFEST_BYTES_MAX)?);
            } else if COMPONENTS.contains(&&*layer.media_type) {
                let title = layer.title().unwrap_or("component.wasm");
                components.push(layer.sized(title, COMPONENT_BYTES_MAX)?);
            }
        }
        if definitions.len() > 1 {
            return Err(invalid("it has more than one `plugin.yaml` or `tool.yaml`".to_owned()));
        }
        if definitions.is_empty() && components.is_empty() {
            return Err(invalid(format!(
                "none of its {} layers is a component (`{}`) or a `plugin.yaml`",
                layers.len(),
                COMPONENTS[0],
            )));
        }
        Ok(Self { definition: definitions.pop(), components })
    }

    /// The component that its definition calls so, or the only one.
    pub(super) fn component(&self, name: Option<&str>) -> Result<&Layer, Fault> {
        let named = name.and_then(|name| self.components.iter().find(|layer| layer.title == name));
        match (named, &self.components[..]) {
            (Some(layer), _) | (None, [layer]) => Ok(layer),
            (None, []) => Err(invalid(format!(
                "none of its layers is a component: one would be `{}`",
                COMPONENTS[0]
            ))),
            (None, all) => Err(invalid(format!(
                "it has {} components, and none has the title `{}`",
                all.len(),
                name.unwrap_or("component.wasm"),
            ))),
        }
    }
}

impl Descriptor {
    /// The name of its file, where that can be shown.
    fn title(&self) -> Option<&str> {
        let title = self.annotations.as_ref()?.get(TITLE)?;
        let is_plain = title.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        (is_plain && !title.is_empty() && title.len() <= TITLE_BYTES_MAX).then_some(title)
    }

    /// Which definition it is, if it is one.
    fn definition(&self) -> Option<&'static str> {
        let is_it =
            |(name, kind): &&(&str, &str)| self.media_type == *kind || self.title() == Some(*name);
        DEFINITIONS.iter().find(is_it).map(|(name, _)| *name)
    }

    fn sized(&self, title: &str, bytes_max: u64) -> Result<Layer, Fault> {
        if self.size > bytes_max {
            let bytes = self.size;
            return Err(invalid(format!("its `{title}` has {bytes} bytes, more than {bytes_max}")));
        }
        Ok(Layer { title: title.to_owned(), digest: read_digest(self)?, bytes: self.size })
    }
}

fn read_digest(descriptor: &Descriptor) -> Result<Digest, Fault> {
    digest(&descriptor.digest).ok_or_else(|| {
        let text = &descriptor.digest;
        invalid(format!("its manifest names `{text}`: this host knows only digests of sha256"))
    })
}

fn invalid(why: String) -> Fault {
    Fault::Invalid(why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const A: [u8; 32] = [0xaa; 32];
    const B: [u8; 32] = [0xbb; 32];
    const KIND: &str = "application/wasm";

    fn layer(kind: &str, title: &str, of: [u8; 32]) -> Value {
        let digest = format!("sha256:{}", Digest(of));
        let mut layer = json!({ "mediaType": kind, "digest": digest, "size": 7 });
        if !title.is_empty() {
            layer["annotations"] = json!({ TITLE: title });
        }
        layer
    }

    fn image(layers: &[Value]) -> Result<Layers, Fault> {
        let config = layer("application/vnd.oci.empty.v1+json", "", [0; 32]);
        let document = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        match Document::read(document.to_string().as_bytes())? {
            Document::Image(layers) => Ok(layers),
            Document::Index(_) => panic!("it is an image"),
        }
    }

    fn index(images: &Value) -> Result<Document, Fault> {
        Document::read(json!({ "schemaVersion": 2, "manifests": images }).to_string().as_bytes())
    }

    fn why<T: std::fmt::Debug>(faulty: Result<T, Fault>) -> String {
        match faulty.unwrap_err() {
            Fault::Invalid(why) => why,
            Fault::Foreign => "foreign".to_owned(),
        }
    }

    #[test]
    fn a_plugin_is_a_component_and_its_definition_however_they_are_marked() {
        for (definition, component) in [
            (
                layer("application/vnd.oci.image.layer.v1.tar", "plugin.yaml", A),
                layer(KIND, "a.wasm", B),
            ),
            (layer(DEFINITIONS[0].1, "", A), layer(COMPONENTS[1], "a.wasm", B)),
        ] {
            let read =
                image(&[layer("text/plain", "README.md", [0; 32]), component, definition]).unwrap();
            let (definition, found) =
                (read.definition.as_ref().unwrap(), read.component(None).unwrap());
            assert_eq!((&*definition.title, definition.digest), ("plugin.yaml", Digest(A)));
            assert_eq!((&*found.title, found.digest, found.bytes), ("a.wasm", Digest(B), 7));
        }
        let tool = image(&[layer(DEFINITIONS[1].1, "", A)]).unwrap();
        assert_eq!(tool.definition.as_ref().unwrap().title, "tool.yaml");
        assert!(why(tool.component(None)).contains("none of its layers is a component"));
    }

    #[test]
    fn of_several_components_the_one_counts_that_the_definition_names() {
        let read = image(&[layer(KIND, "a.wasm", A), layer(KIND, "b.wasm", B)]).unwrap();
        assert_eq!(read.component(Some("b.wasm")).unwrap().digest, Digest(B));
        assert!(why(read.component(Some("c.wasm"))).contains("2 components"));
        assert!(why(read.component(None)).contains("2 components"));
        let one = image(&[layer(KIND, "../../etc/passwd", A)]).unwrap();
        assert_eq!(one.component(Some("a.wasm")).unwrap().title, "component.wasm");
    }

    #[test]
    fn what_is_no_plugin_is_refused_for_what_it_is() {
        let wrong_digest = json!({ "mediaType": KIND, "digest": "sha512:00", "size": 7 });
        let mut large = layer(KIND, "a.wasm", A);
        large["size"] = json!(COMPONENT_BYTES_MAX + 1);
        let definition = layer("", "plugin.yaml", A);
        for (layers, says) in [
            (vec![], "none of its 0 layers"),
            (
                vec![layer("application/vnd.oci.image.layer.v1.tar+gzip", "", A)],
                "none of its 1 layers",
            ),
            (vec![wrong_digest], "only digests of sha256"),
            (vec![large], "more than 67108864"),
            (vec![definition.clone(), definition], "more than one `plugin.yaml`"),
        ] {
            let why = why(image(&layers));
            assert!(why.contains(says), "{why}");
        }
        let old = json!({ "schemaVersion": 1, "fsLayers": [] }).to_string();
        assert!(why(Document::read(old.as_bytes())).contains("of version 1"));
        for foreign in ["", "<html>", "{}", "[]", r#"{"schemaVersion": 2, "layers": [7]}"#] {
            assert_eq!(Document::read(foreign.as_bytes()), Err(Fault::Foreign), "{foreign}");
        }
    }

    #[test]
    fn of_an_index_the_image_for_webassembly_is_taken() {
        let on = |of: [u8; 32], architecture: &str| {
            let mut image = layer("application/vnd.oci.image.manifest.v1+json", "", of);
            image["platform"] = json!({ "architecture": architecture, "os": "wasip2" });
            image
        };
        let alone = layer("application/vnd.oci.image.manifest.v1+json", "", A);
        let two = json!([on(B, "amd64"), on(A, "wasm")]);
        for images in [two, json!([alone])] {
            assert_eq!(index(&images), Ok(Document::Index(Digest(A))));
        }
        for images in [json!([on(A, "wasm"), on(B, "wasm")]), json!([on(A, "amd64")]), json!([])] {
            let why = why(index(&images));
            assert!(why.contains("name one by its digest"), "{why}");
        }
    }
}
