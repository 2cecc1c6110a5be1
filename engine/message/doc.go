// Package message declares what the engine has delivered to people: one-time codes and notices, their texts in each language, and
// the interface of whoever delivers them. It knows no mail server and no gateway; appliance/delivery implements it.
package message
