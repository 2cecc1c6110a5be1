// Package delivery carries the engine's messages to people: mail to an SMTP server, text messages and push challenges to HTTP gateways, as the
// MessageGateway documents say. It keeps what waits in a bounded queue, tries again while a message is of use, holds to limits, and
// tells what became of each message. It decides nothing about who gets a message, and keeps none across a restart.
package delivery
