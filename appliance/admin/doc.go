// Package admin is the administration of a node: the REST API that the command line and the console speak, its OpenAPI
// document, and the logic behind it (plan and apply of documents, history, imports, API keys, explanations). It decides
// nothing about logins and stores nothing itself: it reads the state, proposes events, and waits until what it proposed is in
// force. What it needs of the node it declares as interfaces in [Config].
package admin
