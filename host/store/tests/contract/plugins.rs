//! Installed plugins, by name.

use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Descriptor, Digest, Plugin, World};
use serde_json::json;

use crate::host::{Host, at};

fn plugin(name: &str, version: &str) -> Plugin {
    let manifest = format!(
        "name: {name}\nversion: {version}\ndescription: Does it.\ncomponent: a.wasm\n\
         capabilities: {{ http: [\"https://*\"], clocks: true }}\nlimits: {{ timeout: 5s }}\n"
    );
    Plugin {
        digest: Digest([7; 32]),
        world: World::Executor,
        manifest: Manifest::parse(&manifest).unwrap(),
        descriptor: Descriptor {
            id: name.into(),
            name: "A plugin".into(),
            description: "Does it.".into(),
            version: version.into(),
            input_schema: json!({"type": "object"}),
            output_schema: json!(true),
            tags: vec!["a".into()],
        },
        grants: vec!["http=https://a.example".parse().unwrap(), "fs.in=/srv".parse().unwrap()],
        builtin: false,
        loaded_at: at(1),
    }
}

#[tokio::test]
async fn a_plugin_is_found_as_it_was_put() {
    let host = Host::start().await;
    let mut command = plugin("b_command", "2.0.0");
    (command.world, command.builtin) = (World::Command, true);
    for plugin in [&command, &plugin("a_executor", "1.0.0")] {
        host.store.put_plugin(plugin.clone()).await.unwrap();
    }
    assert_eq!(host.store.find_plugin("b_command").await.unwrap(), Some(command.clone()));
    assert_eq!(host.store.find_plugin("c").await.unwrap(), None);
    let listed = host.store.list_plugins().await.unwrap();
    assert_eq!(listed, [plugin("a_executor", "1.0.0"), command]);
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_the_older() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    host.store.put_plugin(plugin("a", "1.1.0")).await.unwrap();
    assert_eq!(host.store.list_plugins().await.unwrap(), [plugin("a", "1.1.0")]);
}

#[tokio::test]
async fn a_removed_plugin_is_gone() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    let removed = host.store.remove_plugin("a").await.unwrap();
    assert_eq!(removed, Some(plugin("a", "1.0.0")));
    assert_eq!(host.store.remove_plugin("a").await.unwrap(), None);
    assert!(host.store.list_plugins().await.unwrap().is_empty());
}
