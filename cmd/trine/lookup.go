package main

import (
	"context"

	"trine/appliance/admin/client"
)

// lookup asks the node for the names that completions offer.
type lookup struct{ node *client.Client }

// lookupLimit is how many names a completion offers at most.
const lookupLimit = 200

func (l lookup) kinds(ctx context.Context) ([]string, error) {
	list, err := l.node.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, k := range list.Kinds {
		words = append(words, k.Name+"\t"+k.Summary)
	}
	return words, nil
}

func (l lookup) names(ctx context.Context, kind, prefix string) ([]string, error) {
	list, err := l.node.Documents(ctx, kind, client.Page{Prefix: prefix, Limit: lookupLimit})
	if err != nil {
		return nil, err
	}
	var words []string
	for i := range list.Documents {
		words = append(words, list.Documents[i].Name)
	}
	return words, nil
}

func (l lookup) keys(ctx context.Context) ([]string, error) {
	list, err := l.node.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var words []string
	for i := range list.Keys {
		words = append(words, list.Keys[i].ID+"\t"+list.Keys[i].Description)
	}
	return words, nil
}

func (l lookup) nodes(ctx context.Context) ([]string, error) {
	now, err := l.node.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	var words []string
	for i := range now.Nodes {
		words = append(words, now.Nodes[i].Name+"\t"+now.Nodes[i].Address)
	}
	return words, nil
}
