// Package secret keeps secrets secret: [Text], a secret in a document that shows itself to no formatter; [Keyring], the
// cluster keys that seal it and that make keyed forms of passwords; and [NodeKey], for which cluster keys are wrapped. It
// stores nothing but a node's own key file and decides nothing.
package secret
