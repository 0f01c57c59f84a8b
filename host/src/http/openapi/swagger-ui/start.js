// Shows the host's own document. `validatorUrl` would ask a server elsewhere about it.
window.SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
});
