package document

import (
	"reflect"
	"slices"

	"trine/engine/event"
)

// Refs returns the key of each document that this one refers to, once each, sorted.
func (d *Document) Refs() []string {
	r := d.relations()
	return sortedKeys(r.refs)
}

// Claims returns the keys that at most one document may hold, once each, sorted:
//
//	login/NAME            a user's name and aliases, folded
//	publicID/ID           an identity provider's or service provider's public id
//	prefix/radius/PREFIX  each source prefix of a service provider of type radius; nested prefixes are different claims
//	prefix/tacacs/PREFIX  likewise of type tacacs
//	radiusID/NAME         an attribute definition's name in a protocol; likewise oid, shortName, openidName, claimURI, casName
//	site/HOST/PREFIX      where the web front finds an identity provider; of a virtual one without a host name, site/below PARENT/PREFIX
//	clientID/ID           the client id of a service provider of type oidc
//	registration/SP/N     a client's place among those that were registered with the token of a service provider
//	messages/CHANNEL      a message gateway's channel, mail or sms
func (d *Document) Claims() []string {
	r := d.relations()
	return sortedKeys(r.claims)
}

// relation is a key with the field that it comes from.
type relation struct{ key, path string }

type relations struct {
	refs   []relation
	claims []relation
}

func (r *relations) claim(key, path string) { r.claims = append(r.claims, relation{key, path}) }

func (r *relations) ref(kind, name, path string) {
	if name != "" {
		r.refs = append(r.refs, relation{event.Key(kind, name), path})
	}
}

func (d *Document) relations() *relations {
	r := new(relations)
	r.walk(reflect.ValueOf(d.Spec).Elem(), "spec")
	d.Spec.relations(d.Name, r)
	return r
}

// walk gathers the references of fields with a ref tag.
func (r *relations) walk(v reflect.Value, path string) {
	for _, f := range schemas[v.Type()] {
		at := v.FieldByIndex(f.index)
		where := join(path, f.name)
		switch {
		case f.ref != "" && at.Kind() == reflect.String:
			r.ref(f.ref, at.String(), where)
		case f.ref != "":
			for i := range at.Len() {
				r.ref(f.ref, at.Index(i).String(), element(where, i))
			}
		default:
			eachStruct(at, where, r.walk)
		}
	}
}

// eachStruct calls f with each struct that has fields of its own in a field: itself, behind its pointer, or in its list.
func eachStruct(v reflect.Value, path string, f func(v reflect.Value, path string)) {
	switch v.Kind() {
	case reflect.Struct:
		if _, ok := schemas[v.Type()]; ok {
			f(v, path)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			eachStruct(v.Elem(), path, f)
		}
	case reflect.Slice:
		if _, ok := structUnder(v.Type()); ok {
			for i := range v.Len() {
				eachStruct(v.Index(i), element(path, i), f)
			}
		}
	}
}

func sortedKeys(list []relation) []string {
	keys := make([]string, 0, len(list))
	for _, r := range list {
		keys = append(keys, r.key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
