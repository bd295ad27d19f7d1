export default [
  {
    title: 'counting',
    cases: [
      {
        name: 'prints',
        ops: 1,
        setup: () => {
          console.log('set up');
          return { prepare: () => console.log('prepared'), run: () => console.log('run') };
        },
      },
    ],
  },
];
