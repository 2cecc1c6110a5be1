// Package script evaluates what administrators write into documents: expressions, which are CEL and are evaluated in place under a
// budget, also on a packet loop; and scripts, which are JavaScript and run in a child process (see [Runner] and [Host]). It
// knows neither documents nor people. Whoever takes an expression or a script declares once which variables it sees, compiles
// when the document is applied, and evaluates with the values of a request:
//
//	env := script.NewEnvironment(
//		script.Variable{Name: "hour", Type: script.Int},
//		script.Variable{Name: "sourceCountry", Type: script.Text},
//	)
//	rule, err := env.Expression(`hour < 8 && sourceCountry != "DE"`, script.Bool) // err: a *SyntaxError with line and column
//	value, err := rule.Eval(script.Map{"hour": int64(7), "sourceCountry": "FR"})  // err: an *Error, whose Code is a reason code
//
//	brought, err := env.Script(source, script.Bool) // err: a *SyntaxError; brought.Rewrites() is for plan to warn about
//	err = runner.Submit(&script.Job{Script: brought, Values: values, Done: me}) // me.ScriptDone(job) is told once
//
// Where Eval fails or a job ends with Err, whatever asked for the value refuses: the value is never to be guessed.
package script
